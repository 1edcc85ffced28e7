import { Text } from '@jupyterlab/coreutils';
import type { ICell, INotebookContext } from '../server/protocol';

/** Characters sent left and right of the cursor at most. */
export const MAX_BEFORE = 60_000;
export const MAX_AFTER = 15_000;

/**
 * The text left of the cursor loses its beginning in steps as large as this, so
 * that the beginning, and the server's prompt cache with it, stays the same
 * while the user types.
 */
const STEP = 15_000;

/** So many cells right above the cursor's stay longer than any other. */
const NEAR = 20;

/** What the cursor's cell may need from far away. */
const DEFINES =
  /^(async def|class|const|def|from|function|import|library|using)\b/m;

/**
 * The cells that fit the limits, as whole cells where that can be: below the
 * cursor the nearest; above it narrative goes before code, and code before
 * definitions and imports.
 */
export function clipped(context: INotebookContext): INotebookContext {
  const { cells, active, offset } = context;
  const { source } = cells[active];
  const cursor = Text.charIndexToJsIndex(offset, source);
  const before = keepBefore(cells.slice(0, active), source.slice(0, cursor));
  const below = cells.slice(active + 1);
  const after = keepAfter(source.slice(cursor), below.map(size));
  const current = { ...cells[active], source: before.left + after.right };
  return {
    ...context,
    cells: [...before.cells, current, ...below.slice(0, after.count)],
    active: before.cells.length,
    offset: Text.jsIndexToCharIndex(before.left.length, current.source)
  };
}

function keepBefore(
  cells: ICell[],
  left: string
): { cells: ICell[]; left: string } {
  const total = cells.reduce((sum, cell) => sum + size(cell), left.length);
  let excess = Math.ceil(Math.max(0, total - MAX_BEFORE) / STEP) * STEP;
  const gone = new Set<number>();
  for (const index of excess > 0 ? dispensable(cells) : []) {
    if (excess <= 0) {
      break;
    }
    excess -= size(cells[index]);
    gone.add(index);
  }
  return {
    cells: cells.filter((_, index) => !gone.has(index)),
    left: excess > 0 ? fromLine(left, excess) : left
  };
}

/** Indices in the order in which the cells go: of a kind the furthest first. */
function dispensable(cells: ICell[]): number[] {
  const kinds = cells.map(({ type, source }, index) => {
    if (index >= cells.length - NEAR) {
      return 3;
    }
    return type !== 'code' ? 0 : DEFINES.test(source) ? 2 : 1;
  });
  return [...kinds.keys()].sort((a, b) => kinds[a] - kinds[b] || a - b);
}

function size({ source, outputs }: ICell): number {
  return source.length + (outputs ? JSON.stringify(outputs).length : 0);
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

/** `text` without the half of a character that it may end with. */
export function wholeEnd(text: string): string {
  return text.replace(/[\uD800-\uDBFF]$/, '');
}
