import type { TranslationBundle } from '@jupyterlab/translation';
import type { Monitor } from '../server/monitor';
import type { IStatus } from '../server/protocol';
import type { IWhere, Settings } from '../settings';
import type { Silence } from '../suggest/silence';

/** The status bar's text, what answers first: `santa-mini (cpu)`, `santa-mini (santacoder: downloading 42 %)` */
export function statusLabel(status: IStatus, trans: TranslationBundle): string {
  const name = nameOf(status, status.model);
  if (status.state === 'ready') {
    return trans.__('%1 (%2)', name, status.device);
  }
  const label = trans.__('%1: %2', name, stateLabel(status, trans));
  const serving = otherServing(status);
  return serving ? trans.__('%1 (%2)', nameOf(status, serving), label) : label;
}

/** The state in a plain sentence or two; without the percents, as a screen reader tells each change of it. */
export function statusSentence(
  status: IStatus,
  trans: TranslationBundle
): string {
  const said = modelSentence(status, trans);
  const serving = otherServing(status);
  if (!serving) {
    return said;
  }
  return status.state === 'error'
    ? trans.__('%1 %2 answers instead.', said, nameOf(status, serving))
    : trans.__('%1 %2 answers until then.', said, nameOf(status, serving));
}

/** The state in a word or two. */
export function stateLabel(
  { state, progress }: IStatus,
  trans: TranslationBundle
): string {
  switch (state) {
    case 'unloaded':
      return trans.__('not loaded');
    case 'downloading':
      return progress?.total
        ? trans.__('downloading %1 %', percent(progress.done, progress.total))
        : trans.__('downloading');
    case 'loading':
      return trans.__('loading');
    case 'ready':
      return trans.__('ready');
    case 'error':
      return trans.__('error');
  }
}

/** A part in whole percent, rounded down: 100 is all of it. */
export function percent(part: number, whole: number): number {
  return Math.floor((100 * part) / whole);
}

/** What people call a model: its own name, or the end of a hub id or folder. */
export function nameOf(
  { models }: Pick<IStatus, 'models'>,
  model: string
): string {
  return ownName({ models }, model) || shortName(model);
}

/** The last part of a hub id or folder. */
export function shortName(model: string): string {
  return (
    model
      .replace(/[\\/]+$/, '')
      .split(/[\\/]/)
      .pop() || model
  );
}

/** The model that answers in place of the one chosen, "" if none does. */
export function otherServing({ model, serving }: IStatus): string {
  return serving && serving !== model ? serving : '';
}

function modelSentence(status: IStatus, trans: TranslationBundle): string {
  const { progress } = status;
  const model = ownName(status, status.model) || status.model;
  switch (status.state) {
    case 'unloaded':
      return trans.__('%1 is not loaded; it loads on first use.', model);
    case 'downloading':
      return progress?.total
        ? trans.__(
            'Downloading %1 (%2 GB).',
            model,
            (progress.total / 1e9).toFixed(2)
          )
        : trans.__('Downloading %1.', model);
    case 'loading':
      return trans.__('Loading %1.', model);
    case 'ready':
      return trans.__('%1 is ready on %2.', model, status.device);
    case 'error':
      return trans.__("%1 can't be used: %2.", model, status.error ?? '');
  }
}

function ownName(
  { models }: Pick<IStatus, 'models'>,
  model: string
): string | undefined {
  return models?.find(offer => offer.model === model)?.name;
}

/** Why the server says nothing of its models. */
export function awaySentence(
  { isAbsent, isRefused }: Pick<Monitor, 'isAbsent' | 'isRefused'>,
  trans: TranslationBundle
): string {
  return isAbsent
    ? trans.__('The server gives no code completion.')
    : isRefused
      ? refusedSentence(trans)
      : trans.__("The server can't be reached.");
}

/** What a login that has expired looks like. */
export function refusedSentence(trans: TranslationBundle): string {
  return trans.__('The server refuses: perhaps you have to log in again.');
}

/** Whole minutes until then, a begun one counts. */
export function minutesLeft(until: number, now = Date.now()): number {
  return Math.max(1, Math.ceil((until - now) / 60_000));
}

/** What the sentences tell of besides. */
export interface ISilenceParts {
  settings: Pick<Settings, 'failure' | 'snoozedUntil'>;
  where: () => IWhere | null;
}

/** Why nothing is shown. */
export function silenceSentence(
  silence: Silence,
  { settings, where }: ISilenceParts,
  trans: TranslationBundle
): string {
  switch (silence) {
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
      return trans.__('Off in this language (%1).', where()?.language ?? '');
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
    case 'commanding':
      return trans.__("Suggestions come in vim's insert mode.");
    case 'list':
      return trans.__('It comes when the list of completions closes.');
    case 'selection':
      return trans.__('Nothing is suggested while text is selected.');
    case 'line-breaks':
      return trans.__('Nothing is suggested in a text with CR LF line breaks.');
    case 'absent':
      return trans.__('The server gives no code completion.');
    case 'loading':
      return trans.__('The model is loading.');
    case 'refused':
      return refusedSentence(trans);
    case 'failed':
      return trans.__('The server did not answer.');
    case 'nothing':
      return trans.__('The model has nothing to suggest here.');
    case 'unlikely':
      return trans.__('Nothing likely enough to suggest.');
    case 'repeats-above':
      return trans.__('Only a repetition of the line above.');
    case 'repeats-below':
      return trans.__('Only a repetition of the line below.');
    case 'repeats-right':
      return trans.__('Only what stands right of the cursor.');
    case 'loops':
      return trans.__('The model only repeats itself here.');
    case 'broken':
      return trans.__('Nothing that would run.');
  }
}
