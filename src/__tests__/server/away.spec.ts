import { type IStatus, ServerError } from '../../server/protocol';
import { type SantaApi } from '../../server/api';
import { Monitor } from '../../server/monitor';
import type { Notices } from '../../ui/notices';

jest.mock('@jupyterlab/services', () => ({ ServerConnection: {} }));
// The real one wants a whole browser.
jest.mock('@jupyterlab/ui-components', () => ({
  VDomModel: class {
    stateChanged = { emit: jest.fn() };
    dispose = jest.fn();
  }
}));

const READY = { state: 'ready', serving: 'santa-mini' } as IStatus;

let monitor: Monitor;

/** A monitor whose server can be taken away. */
function setUp(terms: () => unknown = () => undefined) {
  const server = { error: null as Error | null, looks: 0 };
  const api = {
    status: async () => {
      server.looks++;
      if (server.error) {
        throw server.error;
      }
      return READY;
    }
  };
  const notices = {
    model: jest.fn(),
    terms: jest.fn(terms),
    failed: jest.fn(),
    recovered: jest.fn()
  };
  monitor = new Monitor(
    api as unknown as SantaApi,
    notices as unknown as Notices
  );
  return server;
}

const pass = (time: number) => jest.advanceTimersByTimeAsync(time);

describe('Monitor', () => {
  beforeEach(() => {
    jest.useFakeTimers();
    // A poll that fails waits for a time by chance.
    jest.spyOn(Math, 'random').mockReturnValue(0.5);
  });
  afterEach(() => {
    monitor.dispose();
    jest.restoreAllMocks();
    jest.useRealTimers();
  });

  it('asks nothing of a server that is away, but looks for it while the user types', async () => {
    const server = setUp();
    await pass(1);
    expect(monitor.mayAsk(true)).toBe(true);
    server.error = new TypeError('Failed to fetch');
    monitor.failed(server.error);
    server.looks = 0;
    for (let key = 0; key < 100; key++) {
      expect(monitor.mayAsk(true)).toBe(false);
      await pass(100);
    }
    expect(server.looks).toBeGreaterThan(1);
    expect(server.looks).toBeLessThan(6);
    expect(monitor.mayAsk(false)).toBe(true);
    server.error = null;
    await pass(3000);
    monitor.mayAsk(true);
    await pass(1);
    expect(monitor.mayAsk(true)).toBe(true);
  });

  it('hears from the poll too that the server is away, and that it is back', async () => {
    const server = setUp();
    await pass(1);
    server.error = new ServerError(403, '', 'Forbidden');
    expect(monitor.isAway).toBe(false);
    await pass(10_000);
    expect([monitor.isAway, monitor.mayAsk(true)]).toEqual([true, false]);
    expect(monitor.isRefused).toBe(true);
    server.error = null;
    await pass(60_000);
    expect([monitor.isAway, monitor.mayAsk(true)]).toEqual([false, true]);
    expect(monitor.isRefused).toBe(false);
  });

  it('asks less and less often where each request fails', async () => {
    setUp();
    await pass(1);
    let asked = 0;
    for (let key = 0; key < 300; key++) {
      if (monitor.mayAsk(true)) {
        asked++;
        monitor.failed(new ServerError(413, 'too-large', 'too large'));
      }
      await pass(100);
    }
    expect(asked).toBe(6);
    monitor.answered();
    expect(monitor.mayAsk(true)).toBe(true);
  });

  it('waits as long as the server says', async () => {
    setUp();
    await pass(1);
    monitor.failed(new ServerError(503, 'loading', 'loading', 4));
    await pass(3900);
    expect(monitor.mayAsk(true)).toBe(false);
    expect(monitor.mayAsk(false)).toBe(true);
    await pass(200);
    expect(monitor.mayAsk(true)).toBe(true);
  });

  it('asks nothing where santajupyter is absent, and looks for it seldom', async () => {
    const server = setUp();
    server.error = new ServerError(404, '', 'Not Found');
    await pass(1);
    expect([monitor.isAbsent, monitor.isAway]).toEqual([true, false]);
    expect(monitor.mayAsk(false)).toBe(false);
    server.looks = 0;
    for (let key = 0; key < 600; key++) {
      expect(monitor.mayAsk(true)).toBe(false);
      await pass(1000);
    }
    expect(server.looks).toBeGreaterThan(5);
    expect(server.looks).toBeLessThan(40);
  });

  it.each([
    ['404', new ServerError(404, '', 'Not Found')],
    ['a page', new ServerError(502, 'page', 'A page came')],
    ['403', new ServerError(403, '', 'Forbidden')],
    ['500', new ServerError(500, '', 'Internal Server Error')],
    ['nothing', new TypeError('Failed to fetch')]
  ])('goes on by itself after one %s', async (_, error) => {
    setUp();
    await pass(1);
    monitor.failed(error);
    // The server is asked how it is, and it is well.
    await pass(2000);
    monitor.mayAsk(true);
    await pass(10_000);
    expect([monitor.isAbsent, monitor.mayAsk(true)]).toEqual([false, true]);
    expect(monitor.mayAsk(false)).toBe(true);
  });

  it('comes back where the server had no santajupyter for a time', async () => {
    const server = setUp();
    server.error = new ServerError(404, '', 'Not Found');
    await pass(100_000);
    server.error = null;
    // Who asks has it looked for at once.
    expect(monitor.mayAsk(false)).toBe(false);
    await pass(1);
    expect(monitor.mayAsk(false)).toBe(true);
  });

  it('does not take a notice that fails for a server that does', async () => {
    const server = setUp(() => {
      throw new Error('The browser blocks storage.');
    });
    await pass(1);
    expect(server.looks).toBe(1);
    expect(monitor.mayAsk(true)).toBe(true);
  });
});
