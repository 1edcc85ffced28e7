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
function setUp() {
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
    terms: jest.fn(),
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
  });
  afterEach(() => {
    monitor.dispose();
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
    await pass(10_000);
    expect(monitor.mayAsk(true)).toBe(false);
    server.error = null;
    await pass(60_000);
    expect(monitor.mayAsk(true)).toBe(true);
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

  it('never asks again where santajupyter is absent', async () => {
    const server = setUp();
    server.error = new ServerError(404, '', 'Not Found');
    await pass(1);
    expect([monitor.isAbsent, monitor.mayAsk(false)]).toEqual([true, false]);
    expect(monitor.mayAsk(true)).toBe(false);
    await pass(600_000);
    expect(server.looks).toBe(1);
  });
});
