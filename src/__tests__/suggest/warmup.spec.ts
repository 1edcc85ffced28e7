import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { ICompletionRequest } from '../../server/protocol';
import type { SantaApi } from '../../server/api';
import type { Session } from '../../suggest/session';
import { Warmup } from '../../suggest/warmup';

jest.mock('../../document/context', () => ({
  activeEditor: () => ({ hasFocus: () => mockUser.isTyping }),
  sessionContext: () => mockUser.context
}));

const kernel = { status: 'idle' };
const context = { session: { kernel } } as {
  session: object;
  statusChanged: Signal<object, string>;
};
context.statusChanged = new Signal<object, string>(context);
/** A user in a notebook, in edit mode or not. */
const mockUser = { widget: null as Widget | null, isTyping: true, context };

type Warm = { request: ICompletionRequest; signal: AbortSignal };

/** A user whose focus is in the document, at a cell of the source given. */
function setUp() {
  const sent: Warm[] = [];
  const api = {
    warm: jest.fn((request: ICompletionRequest, signal: AbortSignal) => {
      sent.push({ request, signal });
      return Promise.resolve();
    })
  };
  const session = {
    asked: new Signal<object, ICompletionRequest>({}),
    isAsking: false,
    upcoming: jest.fn()
  };
  const monitor = { isReady: true };
  mockUser.widget = {} as Widget;
  mockUser.isTyping = true;
  kernel.status = 'idle';
  const warmup = new Warmup(
    api as unknown as SantaApi,
    session as unknown as Session,
    monitor,
    () => mockUser.widget
  );
  const goTo = (source: string) => {
    session.upcoming.mockResolvedValue(at(source));
    warmup.soon();
  };
  const sources = () => sent.map(({ request }) => request.cells[0].source);
  return { api, goTo, monitor, session, sent, sources, warmup };
}

function at(source: string, count = 1): ICompletionRequest {
  return {
    cells: [{ type: 'code', source, execution_count: count }],
    active: 0,
    offset: source.length,
    language: 'python'
  } as ICompletionRequest;
}

const rest = (time = 1000) => jest.advanceTimersByTimeAsync(time);

describe('Warmup', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('reads where the user comes to rest, not on the way', async () => {
    const { goTo, sources } = setUp();
    for (const source of ['a', 'b', 'c']) {
      goTo(source);
      await rest(50);
    }
    expect(sources()).toEqual([]);
    await rest();
    expect(sources()).toEqual(['c']);
  });

  it('reads the same once, whatever the cells were counted', async () => {
    const { goTo, session, sources, warmup } = setUp();
    goTo('a');
    await rest();
    session.upcoming.mockResolvedValue(at('a', 2));
    warmup.soon();
    await rest();
    expect(sources()).toEqual(['a']);
    warmup.anew();
    await rest();
    expect(sources()).toEqual(['a', 'a']);
  });

  it('reads again what the kernel says otherwise of', async () => {
    const { goTo, session, sources, warmup } = setUp();
    goTo('a');
    await rest();
    for (const type of ['module', 'DataFrame', 'DataFrame']) {
      const variables = [{ name: 'a', type }];
      session.upcoming.mockResolvedValue({ ...at('a'), variables });
      warmup.soon();
      await rest();
    }
    expect(sources()).toEqual(['a', 'a']);
  });

  it('reads one place at a time, the newest', async () => {
    const { api, goTo, sent, sources } = setUp();
    api.warm.mockImplementationOnce((request, signal) => {
      sent.push({ request, signal });
      return new Promise((_, fail) =>
        signal.addEventListener('abort', () => fail(new Error('aborted')))
      );
    });
    goTo('a');
    await rest();
    goTo('b');
    await rest();
    expect(sources()).toEqual(['a', 'b']);
    expect(sent.map(({ signal }) => signal.aborted)).toEqual([true, false]);
  });

  it('gives way to a completion, which reads the same', async () => {
    const { goTo, session, sent, sources } = setUp();
    goTo('a');
    await rest();
    goTo('b');
    session.asked.emit(at('c'));
    await rest();
    expect(sources()).toEqual(['a']);
    expect(sent[0].signal.aborted).toBe(true);
    goTo('c');
    await rest();
    expect(sources()).toEqual(['a']);
  });

  it.each([
    [2000, 2],
    [1000, 1]
  ])(
    'of %i characters reads what is best by now once the user has rested',
    async (count, reads) => {
      const { goTo, session, sources } = setUp();
      const text = 'x'.repeat(count);
      goTo(text);
      await rest();
      for (const source of [`${text}y`, `${text}yz`]) {
        session.upcoming.mockResolvedValue(at(source));
        session.asked.emit(at(source));
        await rest(1500);
      }
      expect(sources()).toEqual([text]);
      await rest(10_000);
      expect(sources()).toEqual([text, `${text}yz`].slice(0, reads));
    }
  );

  it('waits until a completion is answered', async () => {
    const { goTo, session, sources } = setUp();
    session.isAsking = true;
    goTo('a');
    await rest();
    expect(session.upcoming).not.toHaveBeenCalled();
    session.isAsking = false;
    await rest();
    expect(sources()).toEqual(['a']);
  });

  it('leaves a model that is not loaded, and a user who is elsewhere', async () => {
    const { goTo, monitor, sources } = setUp();
    monitor.isReady = false;
    goTo('a');
    await rest();
    monitor.isReady = true;
    mockUser.isTyping = false;
    goTo('b');
    await rest();
    mockUser.widget = null;
    goTo('c');
    await rest();
    expect(sources()).toEqual([]);
  });

  it("waits until the user's own computation is over", async () => {
    const { goTo, session, sources, warmup } = setUp();
    const become = (status: string) => {
      kernel.status = status;
      context.statusChanged.emit(status);
    };
    kernel.status = 'busy';
    goTo('a');
    await rest();
    warmup.soon();
    await rest();
    expect(session.upcoming).not.toHaveBeenCalled();
    become('idle');
    await rest();
    expect(sources()).toEqual(['a']);
    become('busy');
    become('idle');
    await rest();
    expect(session.upcoming).toHaveBeenCalledTimes(1);
  });

  it('tries again after a failure', async () => {
    const { api, goTo, sources } = setUp();
    api.warm.mockRejectedValueOnce(new Error('queue full'));
    goTo('a');
    await rest();
    goTo('a');
    await rest();
    expect(sources()).toEqual(['a']);
  });
});
