import type { TranslationBundle } from '@jupyterlab/translation';

import type { IWhere, Settings } from '../settings';
import type { Monitor } from '../server/monitor';
import type { Silence } from '../suggest/silence';
import { keyName } from './keys';
import {
  awaySentence,
  minutesLeft,
  silenceSentence,
  statusSentence
} from './sentences';

/** Who knows whether suggestions come. */
export interface IStanding {
  settings: Pick<
    Settings,
    'choices' | 'failure' | 'refusal' | 'snoozedUntil' | 'stop'
  >;
  monitor: Pick<Monitor, 'isAbsent' | 'isRefused' | 'status'>;
  /** Where the cursor is, null where nothing can be typed. */
  where: () => IWhere | null;
  /** Why nothing is shown there, null where something is or may come. */
  why: () => Silence | null;
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
  standing: IStanding,
  trans: TranslationBundle
): string {
  const { settings, monitor, where } = standing;
  const place = where();
  const silence = place ? settings.refusal(place) : settings.stop;
  if (silence) {
    return silenceSentence(silence, standing, trans);
  }
  if (!monitor.status || monitor.isAbsent) {
    return awaySentence(monitor, trans);
  }
  if (!monitor.status.serving && monitor.status.state !== 'unloaded') {
    return statusSentence(monitor.status, trans);
  }
  const why = standing.why();
  if (why) {
    return silenceSentence(why, standing, trans);
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
