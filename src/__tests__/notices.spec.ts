import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { type IStatus, ServerError } from '../api';
import { Notices } from '../notices';

jest.mock('@jupyterlab/apputils', () => ({
  Notification: { warning: jest.fn() }
}));
jest.mock('@jupyterlab/services', () => ({ ServerConnection: {} }));

const trans = { __: (text: string) => text } as TranslationBundle;
const warning = jest.mocked(Notification.warning);

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

  it('tells of a failing server once, not once a key', () => {
    const failure = new ServerError(500, 'engine', 'It failed.');
    notices.failed(failure);
    notices.failed(failure);
    notices.failed(new ServerError(503, 'loading', 'Wait.'));
    expect(warning).toHaveBeenCalledTimes(1);
    notices.recovered();
    notices.failed(failure);
    expect(warning).toHaveBeenCalledTimes(2);
  });
});
