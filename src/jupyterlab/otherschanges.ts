import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { IDisposable } from '@lumino/disposable';

import { isOthersChange, type TextChange } from './internals';

/** Where a place of a text is after a change; `isAfter`: text that comes in right there comes before it. */
export function movedBy(
  { sourceChange = [] }: TextChange,
  offset: number,
  isAfter = false
): number {
  let at = 0;
  for (const { retain = 0, insert = '', delete: gone = 0 } of sourceChange) {
    if (at < offset || (isAfter && at === offset)) {
      offset += insert.length - Math.min(gone, offset - at);
    }
    at += retain + insert.length;
  }
  return offset;
}

/** How others change an editor's text while somebody waits for what was asked for it. */
export class OthersChanges implements IDisposable {
  constructor(private readonly _editor: CodeEditor.IEditor) {
    this._text = _editor.model.sharedModel.getSource();
    // The first time it begins to listen.
    isOthersChange(_editor);
    _editor.model.sharedModel.changed.connect(this._hear, this);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this._editor.model.sharedModel.changed.disconnect(this._hear, this);
  }

  /** Whether the user changed the text. */
  get isOwn(): boolean {
    return this._isOwn;
  }

  /** Whether a cursor, or an end of a selection, may be at `now` only because of them. */
  isMoved(offset: number, now: number): boolean {
    return (
      now === this._moved(offset, false) || now === this._moved(offset, true)
    );
  }

  /** Where a place is now; null where the lines from it to another one aren't what they were. */
  follow(offset: number, other: number): number | null {
    const start = this._text.lastIndexOf('\n', Math.min(offset, other) - 1) + 1;
    const found = this._text.indexOf('\n', Math.max(offset, other));
    const end = found < 0 ? this._text.length : found;
    const text = this._editor.model.sharedModel.getSource();
    const from = this._moved(start, true);
    const to = this._moved(end, false);
    const isSame = text.slice(from, to) === this._text.slice(start, end);
    const isWhole =
      (from === 0 || text[from - 1] === '\n') &&
      (to === text.length || text[to] === '\n');
    return isSame && isWhole ? from + offset - start : null;
  }

  private _moved(offset: number, isAfter: boolean): number {
    return this._changes.reduce(
      (at, change) => movedBy(change, at, isAfter),
      offset
    );
  }

  private _hear(_: unknown, change: TextChange): void {
    if (change.sourceChange) {
      this._isOwn ||= !isOthersChange(this._editor);
      this._changes.push(change);
    }
  }

  private _changes: TextChange[] = [];
  private _isDisposed = false;
  private _isOwn = false;
  private readonly _text: string;
}
