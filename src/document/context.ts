import type { ISessionContext } from '@jupyterlab/apputils';
import type { Cell, ICodeCellModel } from '@jupyterlab/cells';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { CompletionHandler } from '@jupyterlab/completer';
import { ConsolePanel } from '@jupyterlab/console';
import { Text } from '@jupyterlab/coreutils';
import { DocumentWidget } from '@jupyterlab/docregistry';
import { FileEditor } from '@jupyterlab/fileeditor';
import { type INotebookModel, NotebookPanel } from '@jupyterlab/notebook';
import type { Widget } from '@lumino/widgets';

import type { ICell, INotebookContext } from '../server/protocol';
import type { IPlace } from './types';
import { cellsAround, cellType } from './cells';
import { MAX_AFTER, REACH } from './clip';
import { readAhead } from './notes';
import { Revisions } from './revisions';

/**
 * What the model is told of the document: its live cells, not those on disk,
 * those far from the cursor left out; with the text that cells showed if wanted.
 */
export function notebookContext(
  widget: Widget,
  request: CompletionHandler.IRequest,
  withText: boolean
): INotebookContext {
  if (widget instanceof NotebookPanel) {
    return panelContext(widget, request, withText);
  }
  if (widget instanceof ConsolePanel) {
    return consoleContext(widget, request, withText);
  }
  return {
    ...cellsAround(
      { ...NO_NOTEBOOK, length: 1, active: 0, get: () => null },
      request,
      withText
    ),
    language: mimeLanguage(request.mimeType),
    path: fileEditor(widget)?.context.path ?? ''
  };
}

/** Has the cells around the cursor read before a key needs them, the nearest first. */
export async function readAround(widget: Widget): Promise<void> {
  if (widget instanceof NotebookPanel) {
    const { activeCellIndex: active, model } = widget.content;
    const cells = Array.from(model?.cells ?? []);
    const above = cells.slice(0, active).reverse();
    await readAhead(above, REACH);
    await readAhead(cells.slice(active + 1), MAX_AFTER);
  }
}

/** The editor that the user types into, null where there is none. */
export function activeEditor(widget: Widget): CodeEditor.IEditor | null {
  if (widget instanceof NotebookPanel) {
    return widget.content.activeCell?.editor ?? null;
  }
  if (widget instanceof ConsolePanel) {
    return widget.console.promptCell?.editor ?? null;
  }
  return fileEditor(widget)?.editor ?? null;
}

/** What the editor that the user types into indents by: a tab, or spaces. */
export function indentUnit(widget: Widget): string {
  const unit = activeEditor(widget)?.getOption('indentUnit');
  return unit === 'Tab' ? '\t' : ' '.repeat(Number(unit) || 4);
}

/** The type of the cell that the user types into; a file is code. */
export function activeType(widget: Widget): ICell['type'] {
  if (widget instanceof NotebookPanel) {
    return cellType(widget.content.activeCell?.model.type);
  }
  return 'code';
}

/** The language that the user types in there: the kernel's, or the file's kind. */
export function activeLanguage(widget: Widget): string {
  const mimeType = activeEditor(widget)?.model.mimeType;
  return widget instanceof NotebookPanel
    ? notebookLanguage(widget, mimeType)
    : mimeLanguage(mimeType);
}

/** The notebook's own model, null where the widget is none. */
export function notebookModel(widget: Widget): INotebookModel | null {
  return widget instanceof NotebookPanel ? widget.content.model : null;
}

/** How the document is tied to a kernel; null where it is to none. */
export function sessionContext(widget: Widget): ISessionContext | null {
  if (widget instanceof NotebookPanel || widget instanceof ConsolePanel) {
    return widget.sessionContext;
  }
  return null;
}

/** Whether cells there have the count of a run, of this kernel or an earlier one. */
export function hasCounts(widget: Widget): boolean {
  const cells = Array.from(notebookModel(widget)?.cells ?? []);
  return cells.some(cell => !!(cell as Partial<ICodeCellModel>).executionCount);
}

/** Where the cursor is now; null while text is selected or there is no editor. */
export function currentPlace(widget: Widget): IPlace | null {
  const editor = activeEditor(widget);
  return editor && placeIn(editor);
}

/**
 * Where an editor's cursor is now, of several the main one, as JupyterLab has it: what
 * is suggested there it shows and puts in at all of them. Null while text is selected,
 * and in a text with CR LF: JupyterLab writes what goes into it elsewhere (jupyterlab#2951).
 */
export function placeIn(editor: CodeEditor.IEditor): IPlace | null {
  if (!editor.getSelections().every(isEmpty)) {
    return null;
  }
  const text = editor.model.sharedModel.getSource();
  if (text.includes('\r')) {
    return null;
  }
  const cursor = editor.getOffsetAt(editor.getCursorPosition());
  return {
    editor: editor.uuid,
    prefix: text.slice(0, cursor),
    suffix: text.slice(cursor)
  };
}

/** A text that is another one where anything but the text that is being edited changed. */
export function surroundings(widget: Widget): string {
  if (widget instanceof NotebookPanel) {
    const { model, activeCell } = widget.content;
    return model ? Revisions.of(model).around(activeCell?.model) : '';
  }
  return widget instanceof ConsolePanel ? `${widget.console.cells.length}` : '';
}

/** What JupyterLab would ask with the cursor where it is now, null where it wouldn't. */
export function currentRequest(
  widget: Widget
): CompletionHandler.IRequest | null {
  const editor = activeEditor(widget);
  const place = currentPlace(widget);
  if (!editor || !place) {
    return null;
  }
  return requestAt(place, editor.model.mimeType);
}

/** What JupyterLab would ask with the cursor at a place. */
export function requestAt(
  { prefix, suffix }: IPlace,
  mimeType?: string
): CompletionHandler.IRequest {
  const text = prefix + suffix;
  const offset = Text.jsIndexToCharIndex(prefix.length, text);
  return { text, offset, mimeType };
}

/** The place that a request was made for. */
export function requestPlace(
  widget: Widget,
  { text, offset }: CompletionHandler.IRequest
): IPlace {
  const cursor = Text.charIndexToJsIndex(offset, text);
  return {
    editor: activeEditor(widget)?.uuid ?? '',
    prefix: text.slice(0, cursor),
    suffix: text.slice(cursor)
  };
}

/** A language's plain name from an editor's MIME type: `text/x-ipython` -> `python`. */
export function mimeLanguage(mimeType: string | undefined): string {
  const name = (mimeType ?? '')
    .toLowerCase()
    .replace(/^(text|application)\//, '')
    .replace(/^x-/, '')
    .replace(/src$/, '');
  return MIME_LANGUAGES[name] ?? name;
}

/** Those whose MIME type has another name than kernels and users have for the language. */
const MIME_LANGUAGES: Record<string, string> = {
  '': 'python',
  ecmascript: 'javascript',
  gfm: 'markdown',
  'httpd-php': 'php',
  ipython: 'python',
  ipythongfm: 'markdown',
  jsx: 'javascript',
  mariadb: 'sql',
  mssql: 'sql',
  objectivec: 'objective-c',
  pgsql: 'sql',
  sh: 'bash',
  'typescript-jsx': 'typescript'
};

const NO_NOTEBOOK = { notebook: null, version: '' };

function isEmpty({ start, end }: CodeEditor.IRange): boolean {
  return start.line === end.line && start.column === end.column;
}

function panelContext(
  panel: NotebookPanel,
  request: CompletionHandler.IRequest,
  withText: boolean
): INotebookContext {
  const { model, activeCellIndex: active } = panel.content;
  const length = model?.cells.length ?? 1;
  const get = (number: number) => model?.cells.get(number) ?? null;
  const version = surroundings(panel);
  const cells = { length, active, get, notebook: model, version };
  return {
    ...cellsAround(cells, request, withText),
    language: notebookLanguage(panel, request.mimeType),
    path: panel.context.path
  };
}

function consoleContext(
  panel: ConsolePanel,
  request: CompletionHandler.IRequest,
  withText: boolean
): INotebookContext {
  const ran = Array.from(panel.console.cells)
    .map((cell: Cell) => cell.model)
    .filter(model => model.type === 'code');
  const active = ran.length;
  const get = (number: number) => ran[number] ?? null;
  const cells = { ...NO_NOTEBOOK, length: active + 1, active, get };
  return {
    ...cellsAround(cells, request, withText),
    language: mimeLanguage(request.mimeType),
    path: panel.console.sessionContext.path
  };
}

/** The kernel's language; what a markdown cell, or one without a kernel, has for a MIME type says nothing of it. */
function notebookLanguage(
  panel: NotebookPanel,
  mimeType: string | undefined
): string {
  const model = panel.content.model;
  const info = model?.getMetadata('language_info') as { name?: string } | null;
  const spec = model?.getMetadata('kernelspec') as { language?: string } | null;
  const name = info?.name || spec?.language;
  if (name) {
    return name.toLowerCase();
  }
  const guess = mimeLanguage(mimeType);
  return guess === 'markdown' || guess === 'plain' ? 'python' : guess;
}

function fileEditor(widget: Widget): FileEditor | null {
  const content = widget instanceof DocumentWidget ? widget.content : widget;
  return content instanceof FileEditor ? content : null;
}
