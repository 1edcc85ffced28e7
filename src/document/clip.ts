import {
  type INote,
  type IText,
  MAX_CELL,
  NAME,
  noteOf,
  wholeEnd,
  wholeStart
} from './notes';

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
export const REACH = 300_000;
const TOP = 20;

/** What a cell counts at least, so that very many small ones have a bound, too. */
const SMALLEST = 40;

/** So many cells right above the cursor's stay longer than others. */
const NEAR = 10;
/** Cells above, and lines of the cursor's own, whose names are taken for those that are needed. */
const NAMING_CELLS = 2;
const NAMING_LINES = 40;

/** A document's cells by their numbers, and the text of the active one around the cursor. */
export interface IDocument {
  length: number;
  active: number;
  left: string;
  right: string;
  get(number: number): IText;
  /** What has these cells, and a text that is another one where there are other ones around the active one; null: nobody knows. */
  notebook: object | null;
  version: string;
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
  const isCut = notes.some(({ note }) => note.length > MAX_CELL);
  const others = notes.filter(({ number }) => !numbers.has(number));
  return isCut ? ANY : [...new Set(others.flatMap(({ note }) => note.binds))];
}

function keepAbove(document: IDocument, left: string, right: string): IPiece[] {
  const above = cellsAbove(document);
  const total = above.size + left.length;
  let excess = Math.ceil(Math.max(0, total - MAX_BEFORE) / STEP) * STEP;
  if (excess === 0) {
    return above.cells;
  }
  const gone = new Set<ICandidate>();
  for (const cell of dispensable(above, neededNames(above, left, right))) {
    if (excess <= 0) {
      break;
    }
    excess -= cell.size;
    gone.add(cell);
  }
  return above.cells.filter(cell => !gone.has(cell));
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

/** The cells above the cursor's that are looked at, in the document's order, and what is known of all of them. */
interface IAbove {
  cells: ICandidate[];
  size: number;
  /** In the order in which they go where nothing names them; those that stay longest aren't there. */
  order: ICandidate[];
  /** Those that stay longest. */
  last: ICandidate[];
  /** The code right above the cursor's. */
  naming: ICandidate[];
}

/** What was found for the cursor's cell in a notebook, as long as nothing else changes: a key there changes none of it. */
interface IFound extends IAbove {
  active: IText;
  version: string;
}

const found = new WeakMap<object, IFound>();

function cellsAbove(document: IDocument): IAbove {
  const { notebook, version } = document;
  if (!notebook) {
    return sorted(inReach(document));
  }
  const active = document.get(document.active);
  let known = found.get(notebook);
  if (known?.active !== active || known.version !== version) {
    known = { ...sorted(inReach(document)), active, version };
    found.set(notebook, known);
  }
  return known;
}

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

function sorted(cells: ICandidate[]): IAbove {
  const first = cells.slice(0, -NAMING_CELLS);
  const near = new Set(cells.slice(-NEAR));
  const kind = (cell: ICandidate) =>
    near.has(cell) ? 3 : !cell.note.isCode ? 0 : cell.note.isDefinition ? 2 : 1;
  return {
    cells,
    size: cells.reduce((sum, cell) => sum + cell.size, 0),
    // Of a kind the furthest first.
    order: [0, 1, 2, 3].flatMap(number =>
      first.filter(cell => kind(cell) === number)
    ),
    last: cells.slice(-NAMING_CELLS),
    naming: cells.filter(({ note }) => note.isCode).slice(-NAMING_CELLS)
  };
}

/** The cells in the order in which they go: what binds a name that is needed goes after what doesn't. */
function* dispensable(
  { order, last }: IAbove,
  needed: Set<string>
): Generator<ICandidate> {
  const binding: ICandidate[] = [];
  for (const cell of order) {
    if (cell.note.binds.some(name => needed.has(name))) {
      binding.push(cell);
    } else {
      yield cell;
    }
  }
  yield* binding.sort((a, b) => a.number - b.number);
  yield* last;
}

/** The names near the cursor: the code there needs them, wherever they are bound. */
function neededNames(
  { naming }: IAbove,
  left: string,
  right: string
): Set<string> {
  return new Set(
    [
      ...left.split('\n').slice(-NAMING_LINES, -1),
      ...right.split('\n').slice(1, NAMING_LINES),
      ...naming.map(({ text }) => text)
    ].flatMap(text => text.match(NAME) ?? [])
  );
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
