import type { TranslationBundle } from '@jupyterlab/translation';
import type { IStatus } from '../server/protocol';
import type { Silence } from '../suggest/silence';

/** The status bar's text: `santa-mini (cpu)`, `santacoder: downloading 42 % (santa-mini answers)` */
export function statusLabel(status: IStatus, trans: TranslationBundle): string {
  const name = shortName(status.model);
  if (status.state === 'ready') {
    return trans.__('%1 (%2)', name, status.device);
  }
  const label = trans.__('%1: %2', name, stateLabel(status, trans));
  const serving = otherServing(status);
  return serving
    ? trans.__('%1 (%2 answers)', label, shortName(serving))
    : label;
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
    ? trans.__('%1 %2 answers instead.', said, shortName(serving))
    : trans.__('%1 %2 answers until then.', said, shortName(serving));
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
  const { model, progress } = status;
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

/** Why nothing was shown where the user asked. */
export function silenceSentence(
  silence: Silence,
  trans: TranslationBundle
): string {
  switch (silence) {
    case 'off':
      return trans.__('Suggestions are off.');
    case 'off-in-completer':
      return trans.__("Suggestions are off in JupyterLab's Inline Completer.");
    case 'snoozed':
      return trans.__('Suggestions are off for some minutes.');
    case 'notebook':
      return trans.__('Suggestions are off in this notebook.');
    case 'language':
      return trans.__('Suggestions are off in this language.');
    case 'file':
      return trans.__('The settings leave this file out.');
    case 'plain-text':
      return trans.__('Nothing is suggested in plain text.');
    case 'markdown':
      return trans.__('Nothing is suggested in Markdown.');
    case 'raw':
      return trans.__('Nothing is suggested in raw cells.');
    case 'tag':
      return trans.__("This cell's tag says no.");
    case 'read-only':
      return trans.__("This can't be edited.");
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
    case 'failed':
      return trans.__('The server did not answer.');
    case 'nothing':
      return trans.__('Nothing likely enough to suggest.');
  }
}
