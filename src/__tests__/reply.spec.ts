import type { IPlace } from '../context';
import { remainder, Reply } from '../reply';

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

describe('Reply', () => {
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
