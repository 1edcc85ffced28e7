import type { CellChange, ISharedCell } from '@jupyter/ydoc';

/** Characters of one cell that are sent at most, and of a line in another cell than the cursor's. */
export const MAX_CELL = 16_000;
export const MAX_LINE = 1_000;
const LINE_END = 100;
/** Milliseconds for which cells are read without a pause. */
const SLICE = 4;

/** What a cell elsewhere may need. */
const DEFINES =
  /^(async def|class|const|def|from|function|import|library|using)\b/m;
/** Of a statement without indentation the part with the names that it gives a meaning. */
const BINDS =
  /^(?:(?:import|from|library|using)\b.*|(?:async +def|class|const|def|function|let|var) +[\p{L}\p{M}\p{N}_]+|[\p{L}_][\p{L}\p{M}\p{N}_, ]*(?= *(?:<-|=(?!=))))/gmu;
const KEYWORDS = new Set(
  'as async class const def from function import let library using var'.split(
    ' '
  )
);
export const NAME = /[\p{L}_][\p{L}\p{M}\p{N}_]*/gu;

/** A cell's model, as far as it is read here. */
export interface IText {
  type: string;
  sharedModel: Pick<ISharedCell, 'changed' | 'getSource'>;
}
/** What is known of a cell's text. */
export interface INote {
  /** Characters of all of it. */
  length: number;
  /** What is sent of it. */
  text: string;
  isCode: boolean;
  isDefinition: boolean;
  binds: string[];
}

/** What is known of a cell's text, which is read again only after it changed. */
export function noteOf(cell: IText): INote {
  let note = notes.get(cell);
  if (!note) {
    note = read(cell);
    if (!notes.has(cell)) {
      cell.sharedModel.changed.connect((_, { sourceChange }: CellChange) => {
        if (sourceChange) {
          notes.set(cell, null);
        }
      });
    }
    notes.set(cell, note);
  }
  return note;
}

/** Has the texts of cells read before they are needed, a few milliseconds at a time, as far as `most` characters go. */
export async function readAhead(cells: IText[], most: number): Promise<void> {
  let until = performance.now() + SLICE;
  for (let at = 0, left = most; at < cells.length && left > 0; at++) {
    left -= noteOf(cells[at]).text.length;
    if (performance.now() > until) {
      await new Promise(resolve => setTimeout(resolve, 0));
      until = performance.now() + SLICE;
    }
  }
}

/** Null: the text has changed since it was read. */
const notes = new WeakMap<IText, INote | null>();

function read(cell: IText): INote {
  const source = cell.sharedModel.getSource();
  const isCode = cell.type === 'code';
  const text = shortened(source, isCode);
  return {
    length: source.length,
    text,
    isCode,
    isDefinition: isCode && DEFINES.test(text),
    binds: isCode ? bound(text) : []
  };
}

function bound(code: string): string[] {
  const names = (code.match(BINDS) ?? []).flatMap(
    part => part.match(NAME) ?? []
  );
  return names.filter(name => !KEYWORDS.has(name));
}

/**
 * A long text's beginning, or its end if it is code, as the server has it;
 * without the middle of long lines, such as an image's data.
 */
function shortened(source: string, isCode: boolean): string {
  if (source.length <= MAX_LINE) {
    return source;
  }
  return isCode ? lastLines(source) : firstLines(source);
}

function firstLines(source: string): string {
  const lines: string[] = [];
  let room = MAX_CELL;
  for (let start = 0; start <= source.length && room > 0;) {
    const found = source.indexOf('\n', start);
    const end = found < 0 ? source.length : found;
    const line = shortLine(source.slice(start, end));
    lines.push(line);
    room -= line.length + 1;
    start = end + 1;
  }
  return lines.join('\n');
}

function lastLines(source: string): string {
  const lines: string[] = [];
  let room = MAX_CELL;
  for (let end = source.length; end >= 0 && room > 0;) {
    const start = end > 0 ? source.lastIndexOf('\n', end - 1) + 1 : 0;
    const line = shortLine(source.slice(start, end));
    lines.push(line);
    room -= line.length + 1;
    end = start - 1;
  }
  return lines.reverse().join('\n');
}

/** A line without its middle where it is long; its end may close what its beginning opens. */
function shortLine(line: string): string {
  return line.length <= MAX_LINE
    ? line
    : `${wholeEnd(line.slice(0, MAX_LINE - LINE_END))}…${wholeStart(line.slice(-LINE_END))}`;
}

/** `text` without the half of a character that it may end with. */
export function wholeEnd(text: string): string {
  return text.replace(/[\uD800-\uDBFF]$/, '');
}

/** `text` without the half of a character that it may begin with. */
export function wholeStart(text: string): string {
  return text.replace(/^[\uDC00-\uDFFF]/, '');
}
