/** Characters of one cell that are sent at most, and of a line in another cell than the cursor's. */
export const MAX_CELL = 16_000;
export const MAX_LINE = 1_000;
const LINE_END = 100;
/** Cells that are looked at for the names that they define, though they aren't sent. */
const MAX_LEFT_OUT = 500;
/** Stands for names that nobody can tell. */
const ANY = ['*'];
/** Characters sent left and right of the cursor at most, over all cells. */
export const MAX_BEFORE = 40_000;
export const MAX_AFTER = 8_000;

/**
 * What is left of the cursor loses its beginning in steps as large as this, so
 * that the beginning, and the server's prompt cache with it, stays the same
 * while the user types.
 */
const STEP = 4_000;

/** Characters of cells above that are looked at, nearest first; and so many cells at the top in any case. */
const REACH = 300_000;
const TOP = 20;

/** What a cell counts at least, so that very many small ones have a bound, too. */
const SMALLEST = 40;

/** So many cells right above the cursor's stay longer than others. */
const NEAR = 10;
/** Cells above, and lines of the cursor's own, whose names are taken for those that are needed. */
const NAMING_CELLS = 2;
const NAMING_LINES = 40;

/** What the cursor's cell may need from far away. */
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
const NAME = /[\p{L}_][\p{L}\p{M}\p{N}_]*/gu;

/** A cell's model, as far as it is read here. */
export interface IText {
  type: string;
  sharedModel: { getSource(): string };
}

/** A document's cells by their numbers, and the text of the active one around the cursor. */
export interface IDocument {
  length: number;
  active: number;
  left: string;
  right: string;
  get(number: number): IText;
}

/** What is sent of a cell. */
export interface IPiece {
  number: number;
  text: string;
}

/** What is sent: of the cells `above` and `below` the cursor's, and of its own; `names`: what the rest defines. */
export interface IClipped {
  above: IPiece[];
  below: IPiece[];
  left: string;
  right: string;
  names: string[];
}

/**
 * What the model can use of a document, as far as the limits allow. Below the
 * cursor the nearest cells stay; above it narrative goes before code, code before
 * definitions and imports, and these before what the code at the cursor names.
 */
export function clipped(document: IDocument): IClipped {
  const left = ending(document.left, MAX_CELL);
  const right = beginning(document.right, MAX_AFTER);
  const above = keepAbove(document, left, right);
  const below = keepBelow(document, MAX_AFTER - right.length);
  const isWhole = left === document.left && right === document.right;
  const names = isWhole ? namesElsewhere(document, [...above, ...below]) : ANY;
  return { above, below, left, right, names };
}

/** What the cells define that aren't sent, or not in full. */
function namesElsewhere(document: IDocument, sent: IPiece[]): string[] {
  if (sent.length < document.length - 1 - MAX_LEFT_OUT) {
    return ANY;
  }
  const numbers = new Set(sent.map(piece => piece.number));
  const notes = [...Array(document.length).keys()]
    .filter(number => number !== document.active)
    .map(number => ({ number, note: noteOf(document.get(number)) }))
    .filter(({ note }) => note.isCode);
  const isCut = notes.some(({ note }) => note.source.length > MAX_CELL);
  const others = notes.filter(({ number }) => !numbers.has(number));
  return isCut ? ANY : [...new Set(others.flatMap(({ note }) => note.binds))];
}

/** `text` without the half of a character that it may end with. */
export function wholeEnd(text: string): string {
  return text.replace(/[\uD800-\uDBFF]$/, '');
}

function keepAbove(document: IDocument, left: string, right: string): IPiece[] {
  const cells = inReach(document);
  const total = cells.reduce((sum, cell) => sum + cell.size, left.length);
  let excess = Math.ceil(Math.max(0, total - MAX_BEFORE) / STEP) * STEP;
  const gone = new Set<ICandidate>();
  for (const cell of excess > 0 ? dispensable(cells, left, right) : []) {
    if (excess <= 0) {
      break;
    }
    excess -= cell.size;
    gone.add(cell);
  }
  return cells.filter(cell => !gone.has(cell));
}

function keepBelow(document: IDocument, most: number): IPiece[] {
  const cells: ICandidate[] = [];
  let room = most;
  for (let n = document.active + 1; n < document.length; n++) {
    const cell = candidate(document, n);
    room -= cell.size;
    if (room < 0) {
      break;
    }
    cells.push(cell);
  }
  return cells;
}

/** A cell as it would be sent. */
interface ICandidate extends IPiece {
  size: number;
  note: INote;
}

function candidate(document: IDocument, number: number): ICandidate {
  const note = noteOf(document.get(number));
  const { text } = note;
  return { number, text, size: Math.max(SMALLEST, text.length), note };
}

/** The cells above the cursor's that are looked at, in the document's order. */
function inReach(document: IDocument): ICandidate[] {
  const cells: ICandidate[] = [];
  let number = document.active - 1;
  for (let room = REACH; number >= 0 && room > 0; number--) {
    const cell = candidate(document, number);
    room -= cell.size;
    cells.push(cell);
  }
  for (let n = Math.min(number, TOP - 1); n >= 0; n--) {
    cells.push(candidate(document, n));
  }
  return cells.reverse();
}

/** The cells in the order in which they go: of a kind the furthest first. */
function dispensable(
  cells: ICandidate[],
  left: string,
  right: string
): ICandidate[] {
  const naming = cells.filter(({ note }) => note.isCode).slice(-NAMING_CELLS);
  const needed = new Set(
    [
      ...left.split('\n').slice(-NAMING_LINES, -1),
      ...right.split('\n').slice(1, NAMING_LINES),
      ...naming.map(({ text }) => text)
    ].flatMap(text => text.match(NAME) ?? [])
  );
  const kind = ({ note }: ICandidate, index: number) => {
    if (index >= cells.length - NAMING_CELLS) {
      return 5;
    }
    if (note.binds.some(name => needed.has(name))) {
      return 4;
    }
    return index >= cells.length - NEAR
      ? 3
      : !note.isCode
        ? 0
        : note.isDefinition
          ? 2
          : 1;
  };
  const kinds = cells.map(kind);
  return [...kinds.keys()]
    .sort((a, b) => kinds[a] - kinds[b] || a - b)
    .map(index => cells[index]);
}

/** What is known of a cell's text, so that each is read once. */
interface INote {
  source: string;
  /** What is sent of it. */
  text: string;
  isCode: boolean;
  isDefinition: boolean;
  binds: string[];
}

const notes = new WeakMap<object, INote>();

function noteOf(cell: IText): INote {
  const source = cell.sharedModel.getSource();
  let note = notes.get(cell);
  if (note?.source !== source) {
    const isCode = cell.type === 'code';
    const text = shortened(source, isCode);
    note = {
      source,
      text,
      isCode,
      isDefinition: isCode && DEFINES.test(text),
      binds: isCode ? bound(text) : []
    };
    notes.set(cell, note);
  }
  return note;
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

/** The end of what is left of the cursor, from a line's beginning if there is one. */
function ending(text: string, most: number): string {
  const cut = Math.ceil(Math.max(0, text.length - most) / STEP) * STEP;
  if (cut === 0) {
    return text;
  }
  const kept = text.slice(cut - 1);
  const line = kept.indexOf('\n');
  return line < 0 ? wholeStart(kept.slice(1)) : kept.slice(line + 1);
}

/** The first characters of what is right of the cursor, up to a line's end if there is one. */
function beginning(text: string, most: number): string {
  if (text.length <= most) {
    return text;
  }
  const line = text.lastIndexOf('\n', most);
  return line > 0 ? text.slice(0, line) : wholeEnd(text.slice(0, most));
}

function wholeStart(text: string): string {
  return text.replace(/^[\uDC00-\uDFFF]/, '');
}
