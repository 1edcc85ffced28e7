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
});
