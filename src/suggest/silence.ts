import type { Widget } from '@lumino/widgets';

import { activeEditor, currentPlace } from '../document/context';
import { isCommanding } from '../jupyterlab/internals';
import { ServerError } from '../server/protocol';
import type { Refusal } from '../settings';

/** Why nothing was shown where the user asked. */
export type Silence =
  | Refusal
  | 'commanding'
  | 'list'
  | 'selection'
  | 'line-breaks'
  | 'absent'
  | 'loading'
  | 'failed'
  | 'nothing';

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

/** Why a request that ended with `error`, or null, gave nothing. */
export function whyNothing(error: unknown): Silence {
  if (error === null) {
    return 'nothing';
  }
  return error instanceof ServerError && error.reason === 'loading'
    ? 'loading'
    : 'failed';
}
