import type { ICell, INotebookContext } from '../../server/protocol';
import { clipped, MAX_AFTER, MAX_BEFORE } from '../../document/clip';

function context(sources: string[], active: number, offset: number) {
  const cells: ICell[] = sources.map(source => ({ type: 'code', source }));
  return { cells, active, offset, language: 'python', path: 'a.ipynb' };
}

/** The text left of the cursor, by code points as the server counts. */
function left({ cells, active, offset }: INotebookContext): string {
  return Array.from(cells[active].source).slice(0, offset).join('');
}

const sources = ({ cells }: INotebookContext) => cells.map(cell => cell.source);

describe('clipped', () => {
  it('leaves a small notebook as it is', () => {
    const small = context(['a = 1', '🎅 = 2', 'c'], 1, 2);
    expect(clipped(small)).toEqual(small);
  });

  it('drops whole cells far above the cursor', () => {
    const cell = 'x'.repeat(10_000);
    const result = clipped(context([...Array(10).fill(cell), 'y'], 10, 1));
    expect(result.cells.length).toBeLessThan(8);
    expect(sources(result).slice(0, -1)).toEqual(
      Array(result.cells.length - 1).fill(cell)
    );
    expect(result.cells[result.active].source).toBe('y');
  });

  it('drops narrative before code, and code before definitions', () => {
    const pad = (start: string) => start.padEnd(1240, '.');
    const kinds = ['import a', '# story', 'x = 1', 'def f(): pass'];
    const cells = Array.from({ length: 60 }, (_, i) => pad(kinds[i % 4]));
    const long = context([...cells, 'y'], 60, 1);
    long.cells.forEach((cell, i) => {
      cell.type = i % 4 === 1 ? 'markdown' : 'code';
    });
    const result = clipped(long);
    const kept = sources(result).map(source => source.replace(/\.*$/, ''));
    expect(kept.slice(-21)).toEqual(
      [...Array(5)].flatMap(() => kinds).concat('y')
    );
    expect(
      kept.slice(0, -21).filter(source => source === kinds[0])
    ).toHaveLength(10);
    expect(kept.slice(0, -21)).not.toContain('# story');
    expect(result.cells[result.active].source).toBe('y');
  });

  it('counts what cells showed', () => {
    const cells = Array.from({ length: 300 }, (_, i) => `${i}`);
    const long = context([...cells, 'y'], 300, 1);
    for (const cell of long.cells) {
      cell.outputs = [{ type: 'text', text: 'x'.repeat(400) }];
    }
    expect(JSON.stringify(clipped(long)).length).toBeLessThan(MAX_BEFORE * 1.5);
  });

  it('keeps the same first cell while the user types', () => {
    const cells = Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(1000));
    const firsts = [1, 50, 500].map(
      length =>
        clipped(context([...cells, 'y'.repeat(length)], 100, length)).cells[0]
          .source
    );
    expect(new Set(firsts).size).toBe(1);
  });

  it('drops whole cells far below the cursor', () => {
    const cell = 'x'.repeat(4000);
    const result = clipped(context(['y', ...Array(9).fill(cell)], 0, 1));
    expect(sources(result)).toEqual(['y', cell, cell, cell]);
  });

  it('cuts one long file at lines, with the cursor at its place', () => {
    const line = '🎅 = 1\n';
    const text = line.repeat(40_000);
    const offset = 6 * 20_000 + 3;
    const result = clipped(context([text], 0, offset));
    const { source } = result.cells[0];
    expect(source.length).toBeLessThanOrEqual(MAX_BEFORE + MAX_AFTER);
    expect(source.startsWith(line)).toBe(true);
    expect(left(result).endsWith('\n🎅 =')).toBe(true);
    expect(source.slice(left(result).length)).toMatch(/^ 1\n🎅/);
  });

  it('never cuts a character in two', () => {
    for (const pad of ['', 'a']) {
      const text = pad + '🎅'.repeat(60_000);
      const result = clipped(context([text], 0, 50_000));
      expect(() => encodeURI(result.cells[0].source)).not.toThrow();
      expect(left(result).endsWith('🎅')).toBe(true);
    }
  });
});
