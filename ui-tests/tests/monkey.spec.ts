import { expect, galata, type IJupyterLabPageFixture, test } from './fixtures';
import type { Cell } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { YCodeCell } from '@jupyter/ydoc';
import type { Doc, UndoManager } from 'yjs';

import { beginning, type Part } from '../../src/jupyterlab/parts';
import { useEngine } from './engine';
import { GHOST, loadModel, openCell } from './helpers';

/*
 * A monkey types, moves and accepts at random and keeps a model of what each cell
 * must hold then. Where the editor has a choice (it closes a bracket, indents a new
 * line), the model knows all that it may do; anything else is a lost, doubled or
 * misplaced character.
 */

const SEED = Number(process.env.MONKEY_SEED ?? 1);
const ACTIONS = Number(process.env.MONKEY_ACTIONS ?? 300);
const MAX_CELLS = 5;
/** Long cells cost time and show nothing new. */
const MAX_LENGTH = 400;
const MAC = process.platform === 'darwin';

/** A cell's text on both sides of the cursor. */
type Sides = [before: string, after: string];

/**
 * What the page shows; `ghost` is the ghost text at the cursor, `alone` what Yjs makes
 * of the same changes and undos without JupyterLab and us.
 */
interface IState {
  cells: string[];
  alone: string[];
  active: number;
  cursor: number;
  editing: boolean;
  ghost: string;
}

declare global {
  interface Window {
    /** What the page shows, and what it showed when the last key or its command came. */
    look: () => IState;
    atKey: IState;
  }
}

test.use({
  mockSettings: {
    ...galata.DEFAULT_SETTINGS,
    '@jupyterlab/notebook-extension:tracker': {
      codeCellConfig: { autoClosingBrackets: true }
    },
    'santajupyter:plugin': { delay: 10, restDelay: 40 }
  }
});

test('what a monkey types and accepts is what stands in the notebook', async ({
  page
}) => {
  test.setTimeout(60_000 + 1000 * ACTIONS);
  await useEngine(page, { size: 4, delay: 4 });
  await loadModel(page);
  await openCell(page);
  await page.evaluate(watchKeys, GHOST);
  await page.evaluate(inventTexts);
  const monkey = new Monkey(page, await page.evaluate(() => window.look()));
  try {
    for (let i = 0; i < ACTIONS; i++) {
      await monkey.act();
    }
    await page.waitForTimeout(1000);
    monkey.check(await monkey.look());
  } catch (error) {
    console.error(`MONKEY_SEED=${SEED}, the last of ${monkey.log.length}:`);
    console.error(monkey.log.slice(-25).join('\n'));
    throw error;
  }
  test.info().annotations.push({
    type: 'actions',
    description: JSON.stringify(monkey.counts)
  });
});

class Monkey {
  constructor(
    private readonly _page: IJupyterLabPageFixture,
    state: IState
  ) {
    // Nobody has been in the others: their cursors are where they begin.
    this._cells = state.cells.map((text, i) =>
      i === state.active ? [text, ''] : ['', text]
    );
    this._active = state.active;
    this._state = state;
  }

  readonly log: string[] = [];
  /** How often it did what. */
  readonly counts: Record<string, number> = {};

  look(): Promise<IState> {
    return this._page.evaluate(() => window.look());
  }

  async act(): Promise<void> {
    const { ghost } = this._state;
    const full = this._sides.join('').length > MAX_LENGTH;
    const [name, act] = this._pick<[string, () => Promise<unknown>]>([
      [full ? 0 : 30, ['type', () => this._type(this._one('abcn 01=+.,:# '))]],
      [full ? 0 : 6, ['bracket', () => this._bracket(this._one('([{"\''))]],
      [full ? 0 : 3, ['closer', () => this._closer(this._one(')]}'))]],
      [ghost && !full ? 25 : 0, ['through', () => this._through()]],
      [full ? 0 : 6, ['enter', () => this._enter()]],
      [full ? 60 : 10, ['backspace', () => this._backspace()]],
      [full ? 30 : 3, ['delete', () => this._delete()]],
      [8, ['move', () => this._move()]],
      [ghost && !full ? 10 : 0, ['accept', () => this._accept('whole')]],
      [ghost && !full ? 15 : 0, ['accept word', () => this._accept('word')]],
      [ghost && !full ? 10 : 0, ['accept line', () => this._accept('line')]],
      [ghost ? 4 : 0, ['other', () => this._press('Alt+]')]],
      [ghost ? 4 : 0, ['dismiss', () => this._dismiss()]],
      [4, ['switch cell', () => this._switch()]],
      [6, ['undo', () => this._undo('Control+z')]],
      [4, ['redo', () => this._undo('Control+Shift+Z')]],
      [2, ['run', () => this._run()]]
    ]);
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    this.log.push(`${this.log.length} ${name} ${this._active}`);
    await act();
    await this._rest();
    this._state = await this.look();
    this.check(this._state);
  }

  /** The model is what the page shows, and nothing was changed past the undo manager. */
  check({ cells, alone, active, cursor }: IState): void {
    const page = { cells, alone, active, cursor };
    const texts = this._cells.map(sides => sides.join(''));
    const model = {
      cells: texts,
      alone: texts,
      active: this._active,
      cursor: this._sides[0].length
    };
    // Each `expect` costs more than the one before, in Playwright's own books.
    if (JSON.stringify(page) !== JSON.stringify(model)) {
      expect(page).toEqual(model);
    }
  }

  private async _type(text: string): Promise<void> {
    await this._press(text === ' ' ? 'Space' : text);
    const [before, after] = this._sides;
    this._become([[before + text, after]]);
  }

  private async _through(): Promise<void> {
    const [first] = this._state.ghost;
    if (first === '\n') {
      await this._enter();
    } else if ('([{"\''.includes(first)) {
      await this._bracket(first);
    } else if (')]}'.includes(first)) {
      await this._closer(first);
    } else if (/^[ -~]$/.test(first)) {
      await this._type(first);
    }
  }

  /** It may be closed, or, if it is a quote, be the one that stands there. */
  private async _bracket(mark: string): Promise<void> {
    await this._press(mark);
    const [before, after] = this._sides;
    const closer = PAIRS[mark] ?? mark;
    const may: Sides[] = [
      [before + mark, after],
      [before + mark, closer + after]
    ];
    if (closer === mark) {
      if (before.endsWith(mark + mark)) {
        may.push([before + mark, mark + mark + mark + after]);
      }
      if (after.startsWith(mark)) {
        may.push([before + mark, after.slice(1)]);
      }
      if (after.startsWith(mark + mark + mark)) {
        may.push([before + mark + mark + mark, after.slice(3)]);
      }
    }
    this._become(may);
  }

  /** It may be the one that stands there; its line may be indented anew. */
  private async _closer(mark: string): Promise<void> {
    await this._press(mark);
    const [before, after] = this._sides;
    const line = before.slice(before.lastIndexOf('\n') + 1);
    const may: Sides[] = [[before + mark, after]];
    if (after.startsWith(mark)) {
      may.push([before + mark, after.slice(1)]);
    }
    this._become(may, line.trim() === '' ? indentedAnew : asIs);
  }

  /** The editor indents, takes space away, and puts what stands between brackets on a line of its own. */
  private async _enter(): Promise<void> {
    await this._press('Enter');
    const [before, after] = this._sides;
    const may: Sides[] = [[`${before}\n`, after]];
    if (/[([{]\s*$/.test(before) && /^\s*[)\]}]/.test(after)) {
      may.push([`${before}\n`, `\n${after}`]);
    }
    this._become(may, brokenAnew);
  }

  /** It takes a code point, a step of indentation, or an empty pair of brackets. */
  private async _backspace(): Promise<void> {
    await this._press('Backspace');
    const [before, after] = this._sides;
    const last = [...before].at(-1) ?? '';
    const may: Sides[] = [
      [before.slice(0, before.length - last.length), after]
    ];
    const indentation = /(?:^|\n)( +)$/.exec(before)?.[1].length ?? 0;
    if (indentation > 0) {
      const less = indentation % 4 || 4;
      may.push([before.slice(0, -less), after]);
    }
    if (
      last &&
      after.startsWith(PAIRS[last] ?? (QUOTES.includes(last) ? last : '\0'))
    ) {
      may.push([before.slice(0, -1), after.slice(1)]);
    }
    this._become(may);
  }

  private async _delete(): Promise<void> {
    await this._press('Delete');
    const [before, after] = this._sides;
    const [first = ''] = graphemes(after);
    this._become([[before, after.slice(first.length)]]);
  }

  /** Home and End go to the edge of what is to be seen of a long line: anywhere in it is right. */
  private async _move(): Promise<void> {
    const key = this._one(['ArrowLeft', 'ArrowRight', 'Home', 'End']);
    await this._press(key);
    const [before, after] = this._sides;
    const at = before.length;
    const text = before + after;
    const first = (graphemes(after)[0] ?? '').length;
    const last = (graphemes(before).at(-1) ?? '').length;
    const start = before.lastIndexOf('\n') + 1;
    const end = `${text}\n`.indexOf('\n', at);
    const line = Array.from({ length: end - start + 1 }, (_, i) => start + i);
    const to =
      { ArrowLeft: [at - last], ArrowRight: [at + first] }[key] ?? line;
    this._become(to.map(i => [text.slice(0, i), text.slice(i)]));
  }

  /** What was on the screen when the key was pressed goes in, and nothing else. */
  private async _accept(part: Part): Promise<void> {
    const keys = {
      whole: 'Tab',
      word: MAC ? 'Control+.' : 'Alt+.',
      line: MAC ? 'Control+,' : 'Alt+,'
    };
    const { ghost } = await this._press(keys[part]);
    const [before, after] = this._sides;
    this.log.push(`  of ${JSON.stringify(ghost)}`);
    this._become([[before + beginning(ghost, part), after]]);
    if (this._random() < 0.2) {
      await this._press('Control+z');
      this.log.push('  undone at once');
      this._become([[before, after]]);
    }
  }

  private async _dismiss(): Promise<void> {
    await this._press('Escape');
    await expect.poll(async () => (await this.look()).ghost).toBe('');
    await this._press('Enter');
  }

  private async _switch(): Promise<void> {
    const up = this._active > 0 && this._random() < 0.5;
    // Below the last cell JupyterLab would make a new one.
    if (up || this._active < this._cells.length - 1) {
      await this._press('Escape');
      await this._press(up ? 'ArrowUp' : 'ArrowDown');
      this._active += up ? -1 : 1;
      await this._press('Enter');
    }
  }

  private async _run(): Promise<void> {
    const isLast = this._active === this._cells.length - 1;
    if (isLast && this._cells.length === MAX_CELLS) {
      await this._press('Control+Enter');
    } else {
      await this._press('Shift+Enter');
      this._active++;
      if (isLast) {
        this._cells.push(['', '']);
      }
    }
    if (!(await this.look()).editing) {
      await this._press('Enter');
    }
  }

  /**
   * Leads where Yjs leads. That isn't always where the text was: type "ab", delete it,
   * undo, delete "b", undo, undo, and Yjs (13.6) leaves "b" (yjs/yjs#736).
   */
  private async _undo(key: string): Promise<void> {
    await this._press(key);
    const { alone, cursor } = this._state;
    const text = alone[this._active];
    this._sides = [text.slice(0, cursor), text.slice(cursor)];
  }

  /** The active cell is one of `may` now, once `as` took from both what the editor decides. */
  private _become(may: Sides[], as = asIs): void {
    const { cells, cursor } = this._state;
    const text = cells[this._active];
    const sides: Sides = [text.slice(0, cursor), text.slice(cursor)];
    if (!may.some(other => isSame(as(other), as(sides)))) {
      expect(sides).toEqual(may[0]);
    }
    this._sides = sides;
  }

  /** Returns what was on the screen when the key came; nothing may have changed before. */
  private async _press(key: string): Promise<IState> {
    this.log.push(`  ${key}`);
    await this._page.keyboard.press(key);
    const [before, after] = await this._page.evaluate(() => [
      window.atKey,
      window.look()
    ]);
    this.check(before);
    this._state = after;
    return before;
  }

  private _rest(): Promise<void> {
    const random = this._random();
    const time = random < 0.3 ? 0 : random < 0.9 ? 40 : 150;
    return new Promise(resolve => setTimeout(resolve, time));
  }

  private get _sides(): Sides {
    return this._cells[this._active];
  }

  private set _sides(sides: Sides) {
    this._cells[this._active] = sides;
  }

  private _one<T>(choices: Iterable<T>): T {
    const all = [...choices];
    return all[Math.floor(this._random() * all.length)];
  }

  private _pick<T>(choices: [weight: number, choice: T][]): T {
    let at =
      this._random() * choices.reduce((sum, [weight]) => sum + weight, 0);
    return (choices.find(([weight]) => (at -= weight) < 0) ?? choices[0])[1];
  }

  private _active: number;
  private _cells: Sides[];
  private _random = randomNumbers(SEED);
  private _state: IState;
}

const PAIRS: Record<string, string> = { '(': ')', '[': ']', '{': '}' };
const QUOTES = ['"', "'"];

function isSame(one: Sides, other: Sides): boolean {
  return one[0] === other[0] && one[1] === other[1];
}

function asIs(sides: Sides): Sides {
  return sides;
}

/** Without the space around the line break before the cursor. */
function brokenAnew([before, after]: Sides): Sides {
  return [
    before.replace(/[ \t]*\n[ \t]*$/, '\n'),
    after.replace(/^[ \t]*(\n?)[ \t]*/, '$1')
  ];
}

/** Without the space before a closing bracket that was just typed. */
function indentedAnew([before, after]: Sides): Sides {
  return [before.replace(/[ \t]*(.)$/, '$1'), after];
}

/** What one Delete takes, and an arrow passes. */
function graphemes(text: string): string[] {
  return Array.from(new Intl.Segmenter().segment(text), part => part.segment);
}

/** The same numbers from 0 to 1 for the same seed ("mulberry32"). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Runs in the page. */
function watchKeys(ghost: string): void {
  const { commands, shell } = window.jupyterapp;
  const { content } = shell.currentWidget as NotebookPanel;
  const doubles = new Map<Cell, { toString(): string }>();
  /** Begins where the cell is now. */
  const newDouble = (cell: Cell) => {
    const { undoManager, ysource } = cell.model.sharedModel as YCodeCell;
    if (!undoManager || !ysource.doc) {
      throw new Error('The cell has no undo manager.');
    }
    undoManager.clear();
    const doc = new (ysource.doc.constructor as typeof Doc)();
    const text = doc.getText();
    text.insert(0, ysource.toString());
    // What is one step for the cell's own manager is one step here.
    const undo = new (undoManager.constructor as typeof UndoManager)(text, {
      captureTimeout: Infinity
    });
    let delta: object[] = [];
    ysource.observe(event => {
      delta = event.delta;
    });
    undoManager.on('stack-item-added', ({ origin }) => {
      undo.stopCapturing();
      text.applyDelta(origin === undoManager ? [] : delta);
    });
    undoManager.on('stack-item-updated', () => text.applyDelta(delta));
    undoManager.on('stack-item-popped', ({ type }) => void undo[type]());
    return text;
  };
  const alone = (cell: Cell) => {
    const double = doubles.get(cell) ?? newDouble(cell);
    doubles.set(cell, double);
    return double.toString();
  };
  window.look = () => {
    const { activeCellIndex, widgets } = content;
    const { editor, node } = widgets[activeCellIndex];
    const texts = Array.from(
      node.querySelectorAll<HTMLElement>(ghost),
      element => element.innerText
    );
    return {
      cells: widgets.map(cell => cell.model.sharedModel.getSource()),
      alone: widgets.map(alone),
      active: activeCellIndex,
      cursor: editor?.getOffsetAt(editor.getCursorPosition()) ?? -1,
      editing: content.mode === 'edit',
      ghost: texts.join('')
    };
  };
  const note = () => {
    window.atKey = window.look();
  };
  window.addEventListener('keydown', note, true);
  note();
  // JupyterLab holds a key's command until it knows that the key types nothing.
  const execute = commands.execute.bind(commands);
  commands.execute = (id, args) => {
    if (id.includes(':accept')) {
      note();
    }
    return execute(id, args);
  };
}

/** Runs in the page: the same text at the same place, with all that is hard to accept. */
function inventTexts(): void {
  const texts = [
    'value',
    'abc = a + 1',
    'foo(bar)[0].baz("x", \'y\')',
    '("a", [1, 2])',
    "'text' + b",
    '"a\\"b"',
    '\n    return x',
    'c:\n    b = {1: (2, 3)}\n    return b',
    'a\n\n\nb\n  c',
    '  # naïve 🎅🏽 text',
    '0)',
    ']])',
    '    x',
    ' ',
    '',
    ''
  ];
  window.engine.invent = (prefix, suffix) => {
    let hash = 7;
    for (const char of `${prefix.slice(-6)}|${suffix.slice(0, 3)}`) {
      hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) | 0;
    }
    return texts[Math.abs(hash) % texts.length];
  };
}
