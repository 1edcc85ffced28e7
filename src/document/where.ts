import { ConsolePanel } from '@jupyterlab/console';
import { DocumentWidget } from '@jupyterlab/docregistry';
import { NotebookPanel } from '@jupyterlab/notebook';
import type { Widget } from '@lumino/widgets';

import type { IWhere } from '../settings';
import {
  activeEditor,
  activeLanguage,
  activeType,
  notebookModel
} from './context';

/** What decides whether something may be suggested where the cursor is. */
export function whereIs(widget: Widget): IWhere {
  const cell =
    widget instanceof NotebookPanel ? widget.content.activeCell : null;
  const tags: unknown = cell?.model.getMetadata('tags');
  const isLocked = activeEditor(widget)?.getOption('readOnly') === true;
  return {
    notebook: notebookModel(widget),
    type: activeType(widget),
    language: activeLanguage(widget),
    path: pathOf(widget),
    tags: Array.isArray(tags) ? tags : [],
    isReadOnly: isLocked || isFileReadOnly(widget)
  };
}

/** Tells, from now on, when metadata of the cell with the cursor, or of its notebook, have changed: they may lock or exclude it. */
export function watchWhere(widget: Widget, changed: () => void): void {
  const cell =
    widget instanceof NotebookPanel ? widget.content.activeCell : null;
  for (const model of [cell?.model, notebookModel(widget)]) {
    if (model && !watched.has(model)) {
      watched.add(model);
      // The editor is locked after this.
      model.metadataChanged.connect(() => setTimeout(changed, 0));
    }
  }
}

const watched = new WeakSet<object>();

/** From the server's root folder, or that of the drive it is on; "" where there is no file. */
function pathOf(widget: Widget): string {
  if (widget instanceof DocumentWidget) {
    return widget.context.localPath;
  }
  return widget instanceof ConsolePanel
    ? widget.console.sessionContext.path
    : '';
}

function isFileReadOnly(widget: Widget): boolean {
  return (
    widget instanceof DocumentWidget &&
    (widget.context.model.readOnly ||
      widget.context.contentsModel?.writable === false)
  );
}
