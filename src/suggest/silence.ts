import type { Widget } from '@lumino/widgets';

import { activeEditor, currentPlace } from '../document/context';
import { isCommanding } from '../jupyterlab/internals';
import { ServerError } from '../server/protocol';
import type { Refusal } from '../settings';
import type { Reply } from './reply';

/** Why nothing was shown where the user asked. */
export type Silence =
  | Refusal
  | 'commanding'
  | 'list'
  | 'selection'
  | 'line-breaks'
  | 'absent'
  | 'loading'
  | 'refused'
  | 'failed'
  | Unsaid;

/** Why the model's answer has no text, in the server's words. */
const UNSAID = [
  'nothing',
  'unlikely',
  'repeats-above',
  'repeats-below',
  'repeats-right',
  'loops',
  'broken'
] as const;
type Unsaid = (typeof UNSAID)[number];

/** Why there is no place for a suggestion; null where there is one. */
export function whyNowhere(widget: Widget): Silence | null {
  const editor = activeEditor(widget);
  if (isCommanding(editor)) {
    return 'commanding';
  }
  if (!editor || currentPlace(widget)) {
    return null;
  }
  return editor.model.sharedModel.getSource().includes('\r')
    ? 'line-breaks'
    : 'selection';
}

/** Why a reply that came to an end, if there was one, gave nothing. */
export function whyNothing(reply: Reply | null): Silence {
  const error = reply?.error ?? null;
  if (error === null) {
    return UNSAID.find(reason => reason === reply?.reason) ?? 'nothing';
  }
  if (!(error instanceof ServerError)) {
    return 'failed';
  }
  return error.reason === 'loading'
    ? 'loading'
    : error.isRefusal
      ? 'refused'
      : 'failed';
}
