import type { ICellModel } from '@jupyterlab/cells';
import { Signal } from '@lumino/signaling';

import type { ICell } from '../../server/protocol';
import { cellsAround } from '../../document/cells';
import { MAX_AFTER, MAX_BEFORE } from '../../document/clip';
import { MAX_CELL, MAX_LINE, readAhead } from '../../document/notes';

type Context = ReturnType<typeof cellsAround>;

/** How often a cell's text is read is counted in `reads`. */
function model(source: string, type: ICell['type'] = 'code', reads?: string[]) {
  const sharedModel = {
    changed: new Signal<object, object>({}),
    getSource: () => {
      reads?.push(source);
      return source;
    },
    setSource: (text: string) => {
      source = text;
      sharedModel.changed.emit({ sourceChange: [{ insert: text }] });
    }
  };
  const outputs = { length: 0 };
  return { type, sharedModel, outputs } as unknown as ICellModel;
}

/** What is sent with the cursor `offset` code points into the active cell. */
function sent(
  cells: (string | ICellModel)[],
  active: number,
  offset?: number
): Context {
  const models = cells.map(cell =>
    typeof cell === 'string' ? model(cell) : cell
  );
  const text = models[active].sharedModel.getSource();
  const request = { text, offset: offset ?? [...text].length };
  const get = (number: number) => models[number];
  const document = { length: cells.length, active, get };
  return cellsAround(
    { ...document, notebook: null, version: '' },
    request,
    false
  );
}

/** The text left of the cursor, by code points as the server counts. */
function left({ cells, active, offset }: Context): string {
  return Array.from(cells[active].source).slice(0, offset).join('');
}

const sources = ({ cells }: Context) => cells.map(cell => cell.source);

/** A text of 1,240 characters in short lines. */
const pad = (start: string) => start + '\n    .........'.repeat(95);

describe('what is sent of a document', () => {
  it('is all of a small one', () => {
    const result = sent(['a = 1', '🎅 = 2', 'c'], 1, 2);
    expect(sources(result)).toEqual(['a = 1', '🎅 = 2', 'c']);
    expect([result.active, result.offset]).toEqual([1, 2]);
  });

  it('is whole cells near the cursor', () => {
    const cells = Array.from({ length: 100 }, (_, i) => pad(`${i}`));
    const result = sent([...cells, 'y'], 100, 1);
    const kept = sources(result).slice(0, -1);
    expect(kept).toEqual(cells.slice(-kept.length));
    expect(kept.join('').length).toBeLessThanOrEqual(MAX_BEFORE);
    expect(result.cells[result.active].source).toBe('y');
  });

  it('is code rather than narrative, and definitions rather than other code', () => {
    const kinds = ['import', '# story', '1 + 1', 'def'];
    const cells = Array.from({ length: 60 }, (_, i) =>
      model(pad(`${kinds[i % 4]} f${i}`), i % 4 === 1 ? 'markdown' : 'code')
    );
    const kept = sources(sent([...cells, 'y'], 60)).map(
      source => source.split(/ f\d|\n/)[0]
    );
    const far = kept.slice(0, -11);
    expect(far.length).toBeGreaterThan(3);
    expect(new Set(far)).toEqual(new Set([kinds[0], kinds[3]]));
    expect(kept.slice(-11, -1)).toEqual(
      Array.from({ length: 10 }, (_, i) => kinds[(50 + i) % 4])
    );
  });

  it.each([
    ['df = load()', 'total = df.sum()'],
    ['a, größe = load()', 'größe + 1'],
    ['import pandas as pd', 'pd.concat([])'],
    ['from x import (y)', 'y()'],
    ['async def later(): pass', 'later()'],
    ['class Tree: pass', 'Tree()']
  ])('has %j from far away before %j', (definition, use) => {
    const others = Array.from({ length: 300 }, (_, i) =>
      pad(`def other${i}(): pass`)
    );
    const far = [...others.slice(0, 5), definition, ...others.slice(5)];
    for (const near of [[`${use}\nx`], [use, 'x'], [`x\n${use}`]]) {
      const cells = [...far, ...near];
      const offset =
        near.length === 1 && near[0].startsWith('x') ? 1 : undefined;
      const result = sources(sent(cells, cells.length - 1, offset));
      expect(result.filter(source => source.length < 40)).toContain(definition);
    }
    expect(sources(sent([...far, 'z'], far.length)).includes(definition)).toBe(
      false
    );
  });

  it('begins with the same cell while the user types', () => {
    const cells = Array.from({ length: 100 }, (_, i) => pad(`${i}`));
    const firsts = [1, 50, 500].map(
      length => sources(sent([...cells, 'y'.repeat(length)], 100))[0]
    );
    expect(new Set(firsts).size).toBe(1);
  });

  it('is whole cells below the cursor', () => {
    const cell = pad('1');
    const result = sources(sent(['y', ...Array(9).fill(cell)], 0));
    expect(result).toEqual([
      'y',
      ...Array(Math.floor(MAX_AFTER / cell.length)).fill(cell)
    ]);
  });

  it('is the lines near the cursor of one long file', () => {
    const line = '🎅 = 1\n';
    const result = sent([line.repeat(40_000)], 0, 6 * 20_000 + 3);
    const { source } = result.cells[0];
    expect(source.length).toBeLessThanOrEqual(MAX_CELL + MAX_AFTER);
    expect(source.startsWith(line)).toBe(true);
    expect(left(result).endsWith('\n🎅 =')).toBe(true);
    expect(source.slice(left(result).length)).toMatch(/^ 1\n🎅/);
  });

  it('has no character cut in two', () => {
    for (const start of ['', 'a']) {
      const text = start + '🎅'.repeat(60_000);
      const result = sent([text, text], 1, 50_000);
      for (const source of sources(result)) {
        expect(() => encodeURI(source)).not.toThrow();
      }
      expect(left(result).endsWith('🎅')).toBe(true);
    }
  });

  it('has text around an image, not its data', () => {
    const image = `![plot](data:image/png;base64,${'iVBO'.repeat(1_000_000)})`;
    const cell = model(`# Plot\n${image}\nas seen`, 'markdown');
    const code = model(`SEEN = "${'iVBO'.repeat(10_000)}"\nx = 1`);
    const [narrative, assigned] = sources(sent([cell, code, 'y'], 2));
    expect(narrative).toMatch(/^# Plot\n!\[plot\]\(data:.*….*\)\nas seen$/);
    expect(assigned).toMatch(/^SEEN = "iVBO.*….*"\nx = 1$/);
    expect(narrative.length).toBeLessThan(2 * MAX_LINE);
    expect(sources(sent(['import a', `x = "${image}"\ny`], 1))[0]).toBe(
      'import a'
    );
  });

  it('is a long cell of code by its end, and other text by its beginning', () => {
    const long = Array.from({ length: 5000 }, (_, i) => `x${i} = 1`).join('\n');
    const [code, markdown] = sources(
      sent([long, model(long, 'markdown'), 'y'], 2)
    );
    expect(long.endsWith(`\n${code}`)).toBe(true);
    expect(long.startsWith(`${markdown}\n`)).toBe(true);
    expect(Math.max(code.length, markdown.length)).toBeLessThan(
      MAX_CELL + MAX_LINE
    );
  });

  it('needs no look at all of a huge notebook', () => {
    const reads: string[] = [];
    const cells = Array.from({ length: 20_000 }, (_, i) =>
      model(pad(`${i}`), 'code', reads)
    );
    sent([...cells.slice(0, 10_000), 'y', ...cells.slice(10_000)], 10_000);
    expect(reads.length).toBeGreaterThan(0);
    expect(reads.length).toBeLessThan(500);
  });

  it('reads no cell again at a key, but what has changed', () => {
    const reads: string[] = [];
    const cells = Array.from({ length: 300 }, (_, i) =>
      model(pad(`${i}`), 'code', reads)
    );
    const others = [...cells, model('y')];
    sent(others, 300, 1);
    expect(reads.length).toBeGreaterThan(100);
    reads.length = 0;
    expect(sources(sent(others, 300, 0))).toContain(pad('299'));
    expect(reads).toEqual([]);
    cells[299].sharedModel.setSource('new');
    expect(sources(sent(others, 300, 1))).toContain('new');
    expect(reads).toEqual(['new']);
  });

  it('looks at no cell that is not sent, while nothing around the cursor changes', () => {
    const looks: number[] = [];
    const cells = Array.from({ length: 2000 }, (_, i) => model(pad(`${i}`)));
    const get = (number: number) => {
      looks.push(number);
      return cells[number];
    };
    const ask = (text: string, version: string, active = 1999) =>
      cellsAround(
        { length: 2000, active, get, notebook: cells, version },
        { text, offset: text.length },
        false
      );
    const first = ask('y', '1');
    const all = looks.length;
    looks.length = 0;
    expect(sources(ask('ya', '1')).slice(0, -1)).toEqual(
      sources(first).slice(0, -1)
    );
    expect(looks.length).toBeLessThan(2 * first.cells.length);
    expect(looks.length).toBeLessThan(all / 2);
    // Another cell, or a change around it.
    expect(sources(ask('y', '1', 1000))).toContain(pad('999'));
    cells[1998].sharedModel.setSource('new');
    expect(sources(ask('y', '2'))).toContain('new');
  });

  it('can be read ahead', async () => {
    const reads: string[] = [];
    const cells = Array.from({ length: 300 }, (_, i) =>
      model(pad(`${i}`), 'code', reads)
    );
    await readAhead(cells, Infinity);
    expect(new Set(reads).size).toBe(300);
    reads.length = 0;
    sent([...cells, 'y'], 300);
    expect(reads).toEqual([]);
  });
});
