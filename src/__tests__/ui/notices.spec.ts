import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { type IStatus, ServerError } from '../../server/protocol';
import { licenceOf, Notices } from '../../ui/notices';

jest.mock('@jupyterlab/apputils', () => ({
  Notification: { info: jest.fn(), warning: jest.fn() }
}));
jest.mock('@jupyterlab/services', () => ({ ServerConnection: {} }));

const trans = {
  __: (text: string, ...values: string[]) =>
    text.replace(/%(\d)/g, (_, place) => values[Number(place) - 1])
} as TranslationBundle;
const warning = jest.mocked(Notification.warning);
const info = jest.mocked(Notification.info);

const broken = {
  state: 'error',
  model: 'me/model',
  error: 'no hub',
  message: "me/model can't be used: no hub."
} as IStatus;

describe('Notices', () => {
  let notices: Notices;

  beforeEach(() => {
    notices = new Notices(trans);
    warning.mockClear();
  });

  it('tells of a broken model once while the built-in one answers', () => {
    // Each answer made the same trouble news again, at every look at the status.
    notices.model({ ...broken, state: 'loading', error: null });
    notices.model(broken);
    notices.recovered();
    notices.model({ ...broken, message: 'The built-in model answers.' });
    expect(warning).toHaveBeenCalledTimes(1);
    notices.model({ ...broken, state: 'ready', error: null });
    notices.model(broken);
    expect(warning).toHaveBeenCalledTimes(2);
  });

  it('tells of it when it is known what answers instead', () => {
    const loading = { state: 'loading' } as IStatus;
    notices.model({ ...broken, serving: null, fallback: loading });
    expect(warning).not.toHaveBeenCalled();
    const serving = 'santa-mini';
    notices.model({
      ...broken,
      serving,
      fallback: { ...loading, state: 'ready' }
    });
    expect(warning).toHaveBeenCalledTimes(1);
    expect(warning.mock.calls[0][0]).toContain('santa-mini answers instead');
  });

  it('says of a login that has expired what may help', () => {
    notices.failed(new ServerError(403, '', 'Forbidden'));
    expect(warning.mock.calls[0][0]).toContain('log in again');
  });

  it('tells of a failing server once, not once a key', () => {
    const failure = new ServerError(500, 'engine', 'It failed.');
    notices.failed(failure);
    notices.failed(failure);
    notices.failed(new ServerError(503, 'loading', 'Wait.'));
    notices.failed(new ServerError(403, '', 'Forbidden'));
    expect(warning).toHaveBeenCalledTimes(1);
    notices.recovered();
    notices.failed(failure);
    expect(warning).toHaveBeenCalledTimes(2);
  });

  it("tells a licence's restrictions at the first load, once in a browser", () => {
    localStorage.clear();
    const loading = {
      ...broken,
      state: 'downloading' as const,
      progress: { phase: 'downloading', done: 1, total: 9, unit: 'B' }
    };
    // Not loaded, tried in vain, or not yet known to be had.
    for (const state of ['unloaded', 'error', 'loading'] as const) {
      notices.terms({ ...broken, state, model: 'bigcode/santacoder' });
    }
    notices.terms({ ...loading, model: 'Qwen/Qwen2.5-Coder-0.5B' });
    expect(info).not.toHaveBeenCalled();
    notices.terms({ ...loading, model: 'bigcode/santacoder' });
    expect(info.mock.lastCall?.[0]).toContain('under the CodeML OpenRAIL-M');
    notices.terms({ ...loading, model: '/models/gpt_bigcode-santacoder' });
    new Notices(trans).terms({ ...loading, model: 'bigcode/santacoder' });
    expect(info).toHaveBeenCalledTimes(1);
    notices.terms({ ...loading, model: 'bigcode/starcoder2-3b' });
    expect(info.mock.lastCall?.[0]).toContain('under the BigCode OpenRAIL-M');
  });

  it('tells of them once in a page where the browser blocks storage', () => {
    const blocked = jest
      .spyOn(Storage.prototype, 'getItem')
      .mockImplementation(() => {
        throw new DOMException('denied', 'SecurityError');
      });
    jest.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
      throw new DOMException('denied', 'SecurityError');
    });
    info.mockClear();
    const ready = { ...broken, state: 'ready' as const };
    for (let times = 0; times < 2; times++) {
      notices.terms({ ...ready, model: 'bigcode/starcoder-mine' });
    }
    expect(info.mock.calls.length).toBeLessThan(2);
    blocked.mockRestore();
    jest.restoreAllMocks();
  });

  it.each([
    ['bigcode/gpt_bigcode-santacoder', 'santacoder-search'],
    ['bigcode/starcoderbase-1b', 'search'],
    ['bigcode/starcoder2-3b', 'search-v2'],
    ['santa-mini', undefined]
  ])('searches the training data of %s at %s', (model, page) => {
    expect(licenceOf(model)?.search.split('/').pop()).toBe(page);
  });
});
