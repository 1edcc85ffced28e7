import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { type IStatus, ServerError } from './api';

/** BigCode's models may be used only as these terms say. */
const TERMS = 'https://huggingface.co/spaces/bigcode/license';
const TERMS_SEEN = 'santajupyter:terms-seen';

/** Tells the user what is wrong, each thing once. */
export class Notices {
  constructor(private readonly _trans: TranslationBundle) {}

  /** The configured model can't be used: told once, until it has been ready again. */
  model(status: IStatus): void {
    if (status.state === 'ready') {
      this._modelError = null;
    } else if (status.error && status.error !== this._modelError) {
      this._modelError = status.error;
      warn(status.message);
    }
  }

  /** A request failed: told once, until one succeeds; what passes by itself is no news. */
  failed(error: unknown): void {
    if (
      error instanceof ServerError &&
      !error.isPassing &&
      !error.isAbsent &&
      error.message !== this._requestError
    ) {
      this._requestError = error.message;
      warn(this._trans.__('No code completion: %1', error.message));
    }
  }

  /** A request succeeded, so that the next failure is news. */
  recovered(): void {
    this._requestError = null;
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

  private _modelError: string | null = null;
  private _requestError: string | null = null;
}

function warn(message: string): void {
  Notification.warning(message, { autoClose: 10000 });
}
