import { Text } from '@jupyterlab/coreutils';

import type { INotebookContext } from './context';

/** Characters sent left and right of the cursor at most. */
export const MAX_BEFORE = 60_000;
export const MAX_AFTER = 15_000;

/**
 * The text left of the cursor loses its beginning in steps as large as this, so
 * that the beginning, and the server's prompt cache with it, stays the same
 * while the user types.
 */
const STEP = 15_000;

/** The cells nearest the cursor that fit the limits, as whole cells where that can be. */
export function clipped(context: INotebookContext): INotebookContext {
  const { cells, active, offset } = context;
  const { source } = cells[active];
  const cursor = Text.charIndexToJsIndex(offset, source);
  const lengths = cells.map(cell => cell.source.length);
  const before = keepBefore(lengths.slice(0, active), source.slice(0, cursor));
  const after = keepAfter(source.slice(cursor), lengths.slice(active + 1));
  const current = { ...cells[active], source: before.left + after.right };
  return {
    ...context,
    cells: [
      ...cells.slice(before.first, active),
      current,
      ...cells.slice(active + 1, active + 1 + after.count)
    ],
    active: active - before.first,
    offset: Text.jsIndexToCharIndex(before.left.length, current.source)
  };
}

function keepBefore(
  lengths: number[],
  left: string
): { first: number; left: string } {
  const total = lengths.reduce((sum, length) => sum + length, left.length);
  let excess = Math.ceil(Math.max(0, total - MAX_BEFORE) / STEP) * STEP;
  let first = 0;
  while (first < lengths.length && excess > 0) {
    excess -= lengths[first++];
  }
  return { first, left: excess > 0 ? fromLine(left, excess) : left };
}

function keepAfter(
  right: string,
  lengths: number[]
): { right: string; count: number } {
  let room = MAX_AFTER - right.length;
  if (room < 0) {
    return { right: toLine(right, MAX_AFTER), count: 0 };
  }
  let count = 0;
  while (count < lengths.length && lengths[count] <= room) {
    room -= lengths[count++];
  }
  return { right, count };
}

/** `text` without its first `cut` characters or more, from a line's beginning if there is one. */
function fromLine(text: string, cut: number): string {
  const line = text.indexOf('\n', cut);
  return line < 0 ? wholeStart(text.slice(cut)) : text.slice(line + 1);
}

/** The first `keep` characters of `text` or fewer, up to a line's end if there is one. */
function toLine(text: string, keep: number): string {
  const line = text.lastIndexOf('\n', keep);
  return line > 0 ? text.slice(0, line) : wholeEnd(text.slice(0, keep));
}

function wholeStart(text: string): string {
  return text.replace(/^[\uDC00-\uDFFF]/, '');
}

function wholeEnd(text: string): string {
  return text.replace(/[\uD800-\uDBFF]$/, '');
}
