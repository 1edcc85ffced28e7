import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { type IStatus, ServerError } from './api';

/** BigCode's models may be used only as these terms say. */
const TERMS = 'https://huggingface.co/spaces/bigcode/license';
const TERMS_SEEN = 'santajupyter:terms-seen';

/** Tells the user what is wrong, each thing once. */
export class Notices {
  constructor(private readonly _trans: TranslationBundle) {}

  /** One notice per trouble: silent while the same one lasts. */
  warn(message: string): void {
    if (message && message !== this._last) {
      this._last = message;
      Notification.warning(message, { autoClose: 10000 });
    }
  }

  /** A request failed; what passes by itself is no news. */
  failed(error: unknown): void {
    if (error instanceof ServerError && !error.isPassing && !error.isAbsent) {
      this.warn(this._trans.__('No code completion: %1', error.message));
    }
  }

  /** All is well again, so that the next trouble is news. */
  recovered(): void {
    this._last = '';
  }

  /** The terms of a BigCode model, once in a browser. */
  terms(status: IStatus): void {
    if (
      ['unloaded', 'error'].includes(status.state) ||
      !status.model.startsWith('bigcode/') ||
      localStorage.getItem(TERMS_SEEN)
    ) {
      return;
    }
    localStorage.setItem(TERMS_SEEN, 'true');
    Notification.info(
      this._trans.__(
        '%1 is under the CodeML OpenRAIL-M licence, which restricts some uses.',
        status.model
      ),
      {
        autoClose: false,
        actions: [
          {
            label: this._trans.__('Read the restrictions'),
            callback: () => {
              window.open(TERMS, '_blank', 'noopener');
            }
          }
        ]
      }
    );
  }

  private _last = '';
}
