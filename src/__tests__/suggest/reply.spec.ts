import type { IPlace } from '../../document/types';
import { remainder, Reply } from '../../suggest/reply';

const place = (prefix: string, suffix = '', editor = 'e'): IPlace => ({
  editor,
  prefix,
  suffix
});

describe('remainder', () => {
  const origin = place('x = ', ')');

  it.each([
    ['x = ', '[1, 2]'],
    ['x = [1', ', 2]'],
    ['x = [1, 2]', ''],
    ['x =', null],
    ['x = [2', null],
    ['x = [1, 2], ', null]
  ])('after %j is %j', (prefix, rest) => {
    expect(remainder(origin, '[1, 2]', place(prefix, ')'))).toBe(rest);
  });

  it('is nothing in another cell or before another text', () => {
    expect(remainder(origin, '1', place('x = ', ')', 'f'))).toBeNull();
    expect(remainder(origin, '1', place('x = ', ''))).toBeNull();
  });
});

describe('remainder where the editor closed a bracket by itself', () => {
  it.each([
    ['sum(values) / 2', 'sum(', ')', 'values'],
    ['sum(values) / 2', 'sum(va', ')', 'lues'],
    ['sum(values) / 2', 'sum(values)', '', ' / 2'],
    ['f(g(x), y)', 'f(g(', '))', 'x'],
    ['f(g(x), y)', 'f(g(x)', ')', ', y'],
    ['f()', 'f(', ')', ''],
    ['f(x, ', 'f(', ')', 'x, '],
    ['["a(", b]', '["', '"]', 'a('],
    ["print('it\\'s')", "print('", "')", "it\\'s"],
    ['f(x)', 'f(', ']', null],
    ['f(x)', 'f(', '))', null],
    ['f(x)', 'f', ')', null]
  ])('of %j after %j before %j is %j', (text, typed, closed, rest) => {
    const now = place(`x = ${typed}`, `${closed}\n`);
    expect(remainder(place('x = ', '\n'), text, now)).toBe(rest);
  });

  it('leads to the text that was proposed', () => {
    const text = 'foo({"a": [1, (2)]}, "b")';
    for (const [typed, closed] of [
      ['foo(', ')'],
      ['foo({', '})'],
      ['foo({"a', '"})'],
      ['foo({"a": [1, (', ')]})']
    ]) {
      const rest = remainder(place(''), text, place(typed, closed)) ?? '';
      expect(text.startsWith(typed + rest + closed[0])).toBe(true);
    }
  });
});

describe('Reply', () => {
  it('is taken where all of its text went in, not where a bracket ends it', async () => {
    const reply = Reply.of('f()', place('x = '), '');
    expect(reply.isTaken(place('x = f()'))).toBe(true);
    expect(reply.rest(place('x = f(', ')'))).toBe('');
    expect(reply.isTaken(place('x = f(', ')'))).toBe(false);
  });

  it('grows, and what it ends with counts', async () => {
    const reply = new Reply(place('a'), '', async (_signal, onText) => {
      await Promise.resolve();
      onText('bc');
      await Promise.resolve();
      return 'bd';
    });
    await reply.changed(reply.version);
    expect(reply.rest(place('ab'))).toBe('c');
    while (!reply.isDone) {
      await reply.changed(reply.version);
    }
    expect(reply.rest(place('ab'))).toBe('d');
    expect(reply.error).toBeNull();
  });

  it('keeps what went wrong', async () => {
    const reply = new Reply(place(''), '', () =>
      Promise.reject(new Error('no'))
    );
    await reply.changed(reply.version);
    expect(reply.isDone).toBe(true);
    expect(reply.error).toEqual(new Error('no'));
  });

  it('stops its request when aborted', async () => {
    let stopped: AbortSignal | null = null;
    const reply = new Reply(place(''), '', signal => {
      stopped = signal;
      return new Promise(() => undefined);
    });
    const change = reply.changed(reply.version);
    reply.abort();
    await change;
    expect(stopped).toHaveProperty('aborted', true);
    expect(reply.isDone && reply.isAborted).toBe(true);
  });

  it('keeps little of a long text, and is good for that text alone', () => {
    const line = 'x = 1\n';
    const [above, below] = [line.repeat(200_000), line.repeat(100_000)];
    const reply = Reply.of('[1, 2]', place(`${above}y = `, below), '');
    const kept = reply.place.prefix.length + reply.place.suffix.length;
    expect(kept).toBeLessThan(50_000);
    const rest = (prefix: string, suffix = below) =>
      reply.rest(place(prefix, suffix));
    expect(rest(`${above}y = `)).toBe('[1, 2]');
    expect(rest(`${above}y = [1`)).toBe(', 2]');
    expect(rest(`${above}y = [`, `]${below}`)).toBe('1, 2');
    expect(rest(`${above}y =`)).toBeNull();
    expect(rest(`z${above.slice(1)}y = `)).toBeNull();
    expect(rest(`z${above}y = `)).toBeNull();
    expect(rest(`${above}y = `, `${below}z`)).toBeNull();
    expect(rest(`${above}y = `)).toBe('[1, 2]');
    expect(reply.isTaken(place(`${above}y = [1, 2]`, below))).toBe(true);
    expect(reply.isTaken(place(`z${above}y = [1, 2]`, below))).toBe(false);
  });

  it('goes on wherever in a text the user types', () => {
    for (const length of [3_999, 7_999, 15_999, 16_001, 31_999, 100_000]) {
      const above = 'x'.repeat(length);
      const reply = Reply.of('1234', place(`${above}y`, above), '');
      expect(reply.rest(place(`${above}y1`, above))).toBe('234');
      expect(reply.rest(place(`${above}y123`, above))).toBe('4');
      expect(reply.rest(place(`${above}y`, above))).toBe('1234');
    }
  });
});

describe('Reply.follow', () => {
  const at = (prefix: string, suffix = '') => ({ editor: 'e', prefix, suffix });

  it('goes along where other lines changed', () => {
    const reply = Reply.of('sum(x)', at('a\ny = '), '');
    expect(reply.rest(at('a\ny = su'))).toBe('m(x)');
    expect(reply.follow(at('other\na\ny = su', '\nbelow'))).toBe(true);
    expect(reply.rest(at('other\na\ny = su', '\nbelow'))).toBe('m(x)');
    expect(reply.rest(at('other\na\ny = ', '\nbelow'))).toBe('sum(x)');
  });

  it('stays behind where its own line changed', () => {
    const reply = Reply.of('sum(x)', at('a\ny = '), '');
    expect(reply.follow(at('a\nz = '))).toBe(false);
    expect(reply.follow({ ...at('a\ny = '), editor: 'f' })).toBe(false);
  });
});

describe('Reply.goTo', () => {
  const at = (prefix: string) => ({ editor: 'e', prefix, suffix: '' });

  it('goes along with an import, and back with undo', () => {
    const reply = Reply.of('np.sum(x)', at('y = '), '');
    expect(reply.rest(at('y = '))).toBe('np.sum(x)');
    reply.goTo(at('import numpy as np\ny = '));
    expect(reply.rest(at('import numpy as np\ny = np.'))).toBe('sum(x)');
    expect(reply.rest(at('y = '))).toBe('np.sum(x)');
    expect(reply.rest(at('y = np'))).toBe('.sum(x)');
    expect(reply.rest(at('import numpy\ny = '))).toBeNull();
    // Others change the text, which has no import any more.
    expect(reply.follow(at('a\ny = np'))).toBe(true);
    expect(reply.rest(at('a\ny = '))).toBe('np.sum(x)');
    expect(reply.rest(at('import numpy as np\ny = '))).toBeNull();
  });
});
