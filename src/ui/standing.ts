import type { TranslationBundle } from '@jupyterlab/translation';

import type { IWhere, Settings } from '../settings';
import type { Monitor } from '../server/monitor';
import { keyName } from './keys';
import { statusSentence } from './sentences';

/** Who knows whether suggestions come. */
export interface IStanding {
  settings: Pick<
    Settings,
    'choices' | 'failure' | 'refusal' | 'snoozedUntil' | 'stop'
  >;
  monitor: Pick<Monitor, 'isAbsent' | 'status'>;
  /** Where the cursor is, null where nothing can be typed. */
  where: () => IWhere | null;
}

/** How suggestions stand other than usual, in a word or two; "" where they come as the user types. */
export function standingLabel(
  { settings, where }: IStanding,
  trans: TranslationBundle
): string {
  const { choices, stop } = settings;
  if (stop === 'snoozed') {
    const minutes = minutesLeft(settings.snoozedUntil);
    return trans._n('off for %1 minute', 'off for %1 minutes', minutes);
  }
  const place = where();
  if (stop) {
    return trans.__('off');
  }
  if (place && settings.refusal(place)) {
    return trans.__('off here');
  }
  return !choices.automatic
    ? trans.__('on request')
    : choices.holdToShow
      ? trans.__('with %1', keyName('Alt'))
      : '';
}

/** Why nothing is shown now, or that suggestions come. */
export function standingSentence(
  { settings, monitor, where }: IStanding,
  trans: TranslationBundle
): string {
  const place = where();
  const refusal = place ? settings.refusal(place) : settings.stop;
  if (refusal) {
    return refusalSentence(refusal, settings, place?.language ?? '', trans);
  }
  if (monitor.isAbsent) {
    return trans.__('The server gives no code completion.');
  }
  if (!monitor.status) {
    return trans.__("The server can't be reached.");
  }
  if (!monitor.status.serving && monitor.status.state !== 'unloaded') {
    return statusSentence(monitor.status, trans);
  }
  return settings.choices.automatic
    ? settings.choices.holdToShow
      ? trans.__('Suggestions are shown while you hold %1.', keyName('Alt'))
      : trans.__('Suggestions come as you type.')
    : trans.__(
        'Suggestions come when you ask for them (%1).',
        keyName('Alt \\')
      );
}

/** Whole minutes until then, a begun one counts. */
export function minutesLeft(until: number, now = Date.now()): number {
  return Math.max(1, Math.ceil((until - now) / 60_000));
}

function refusalSentence(
  refusal: NonNullable<ReturnType<Settings['refusal']>>,
  settings: IStanding['settings'],
  language: string,
  trans: TranslationBundle
): string {
  switch (refusal) {
    case 'off':
      return settings.failure
        ? trans.__("Off: the settings can't be read (%1).", settings.failure)
        : trans.__('Suggestions are off.');
    case 'off-in-completer':
      return trans.__("Off in JupyterLab's settings, Inline Completer.");
    case 'snoozed':
      return trans._n(
        'Off for %1 more minute.',
        'Off for %1 more minutes.',
        minutesLeft(settings.snoozedUntil)
      );
    case 'notebook':
      return trans.__('Off in this notebook.');
    case 'language':
      return trans.__('Off in this language (%1).', language);
    case 'file':
      return trans.__('Off in files of this name.');
    case 'plain-text':
      return trans.__('Off in plain text.');
    case 'markdown':
      return trans.__('Off in Markdown.');
    case 'raw':
      return trans.__('None come in raw cells.');
    case 'tag':
      return trans.__('Off in this cell, by its tag.');
    case 'read-only':
      return trans.__("None come where the text can't be changed.");
  }
}
