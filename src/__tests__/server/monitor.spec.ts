import type { IStatus } from '../../server/protocol';
import type { SantaApi } from '../../server/api';
import { Monitor } from '../../server/monitor';
import type { Notices } from '../../ui/notices';

jest.mock('@jupyterlab/services', () => ({ ServerConnection: {} }));
jest.mock('@jupyterlab/apputils', () => ({ Notification: {} }));
jest.mock('@jupyterlab/ui-components', () => {
  const { Signal } = jest.requireActual('@lumino/signaling');
  return {
    VDomModel: class {
      readonly stateChanged = new Signal(this);
      dispose() {}
    }
  };
});

const ready = { state: 'ready', model: 'a', serving: 'a' } as IStatus;

function setUp() {
  const api = {
    status: jest.fn(() => Promise.resolve(ready)),
    load: jest.fn((model?: string) =>
      Promise.resolve({ ...ready, state: 'loading', model } as IStatus)
    )
  };
  const notices = {
    failed: jest.fn(),
    recovered: jest.fn(),
    terms: jest.fn(),
    model: jest.fn()
  };
  const monitor = new Monitor(
    api as unknown as SantaApi,
    notices as unknown as Notices
  );
  const changed = jest.fn();
  monitor.stateChanged.connect(changed);
  return { api, changed, monitor, notices };
}

describe('Monitor', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('thinks once a request takes long, until none is left', () => {
    const { changed, monitor } = setUp();
    monitor.asked();
    jest.advanceTimersByTime(150);
    // The next key ended the first request.
    monitor.asked();
    monitor.ended();
    jest.advanceTimersByTime(150);
    expect(monitor.isThinking).toBe(false);
    jest.advanceTimersByTime(100);
    expect(monitor.isThinking).toBe(true);
    expect(changed).toHaveBeenCalledTimes(1);
    monitor.ended();
    expect(monitor.isThinking).toBe(false);
    expect(changed).toHaveBeenCalledTimes(2);
    monitor.dispose();
  });

  it('never thinks of what is answered at once', () => {
    const { changed, monitor } = setUp();
    monitor.asked();
    monitor.ended();
    jest.advanceTimersByTime(250);
    expect(changed).not.toHaveBeenCalled();
    monitor.dispose();
  });

  it('switches, and keeps why it could not', async () => {
    const { api, changed, monitor, notices } = setUp();
    await monitor.load('b');
    expect(api.load).toHaveBeenCalledWith('b');
    expect(monitor.status?.model).toBe('b');
    changed.mockClear();
    api.load.mockRejectedValueOnce(new Error('model: c is not allowed'));
    await monitor.load('c');
    expect(monitor.status?.model).toBe('b');
    expect(monitor.refusal).toBe('model: c is not allowed');
    expect(notices.failed).toHaveBeenCalledTimes(1);
    expect(changed).toHaveBeenCalledTimes(1);
    await monitor.load('b');
    expect(monitor.refusal).toBe('');
    monitor.dispose();
  });

  it('looks often while what stands in for a broken model is on its way', async () => {
    const { api, monitor } = setUp();
    const fallback = { state: 'loading' };
    const broken = { ...ready, state: 'error', serving: null, fallback };
    api.load.mockResolvedValueOnce(broken as IStatus);
    api.status.mockResolvedValue({
      ...broken,
      serving: 'santa-mini',
      fallback: { state: 'ready' }
    } as IStatus);
    await monitor.load();
    api.status.mockClear();
    await jest.advanceTimersByTimeAsync(2000);
    expect(monitor.serving).toBe('santa-mini');
    monitor.dispose();
  });
});
