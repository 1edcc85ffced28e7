import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { isComing, type IStatus, ServerError } from '../server/protocol';
import type { Settings } from '../settings';
import { wasTold } from './told';
import { nameOf, refusedSentence, statusSentence } from './sentences';

export interface ILicence {
  name: string;
  /** The address of its text. */
  terms: string;
  /** BigCode's page that searches the model's training data. */
  search: string;
}

const SPACES = 'https://huggingface.co/spaces/bigcode';

/** BigCode's models, and what is made from them, may be used only as these say; the addresses are their model cards'. */
export const SANTACODER: ILicence = {
  name: 'CodeML OpenRAIL-M',
  terms: `${SPACES}/license`,
  search: `${SPACES}/santacoder-search`
};
const LICENCES: [RegExp, ILicence][] = [
  [/santacoder/i, SANTACODER],
  [
    /starcoder2/i,
    {
      name: 'BigCode OpenRAIL-M',
      terms: `${SPACES}/bigcode-model-license-agreement`,
      search: `${SPACES}/search-v2`
    }
  ],
  [
    /starcoder/i,
    {
      name: 'BigCode OpenRAIL-M',
      terms: `${SPACES}/bigcode-model-license-agreement`,
      search: `${SPACES}/search`
    }
  ]
];
const TERMS_SEEN = 'santajupyter:terms-seen';

/** The licence that restricts a model's use; null where BigCode's don't. */
export function licenceOf(model: string): ILicence | null {
  return LICENCES.find(([pattern]) => pattern.test(model))?.[1] ?? null;
}

/** What there is to say of settings. */
export type ISettingsNews = Pick<Settings, 'failure' | 'ignored' | 'unkept'>;

/** Tells the user what is wrong, each thing once. */
export class Notices {
  constructor(private readonly _trans: TranslationBundle) {}

  /** The configured model can't be used: told once, until it has been ready again, when it is known what answers instead. */
  model(status: IStatus): void {
    if (status.state === 'ready') {
      this._modelError = null;
    } else if (
      status.error &&
      status.error !== this._modelError &&
      !isComing(status.fallback)
    ) {
      this._modelError = status.error;
      warn(statusSentence(status, this._trans));
    }
  }

  /** A request failed: told once, until one succeeds; what passes by itself is no news. */
  failed(error: unknown): void {
    if (
      error instanceof ServerError &&
      !error.isPassing &&
      !error.isAbsent &&
      !this._hasFailed
    ) {
      this._hasFailed = true;
      warn(
        error.isRefusal
          ? refusedSentence(this._trans)
          : this._trans.__('No code completion: %1', error.message)
      );
    }
  }

  /** A request succeeded, so that the next failure is news. */
  recovered(): void {
    this._hasFailed = false;
  }

  /** A licence's restrictions when a model under it is first got or loaded, once in a browser. */
  terms(status: IStatus): void {
    const licence = licenceOf(status.model);
    // Of a model that can't be had there is nothing to agree with.
    const isHere = status.state === 'ready' || !!status.progress?.total;
    if (!licence || !isHere) {
      return;
    }
    const key = `${TERMS_SEEN}:${licence.name}`;
    if (wasTold(key)) {
      return;
    }
    Notification.info(
      this._trans.__(
        '%1 is under the %2 licence, which restricts some uses.',
        nameOf(status, status.model),
        licence.name
      ),
      {
        autoClose: false,
        actions: [
          {
            label: this._trans.__('Read the restrictions'),
            callback: () => {
              window.open(licence.terms, '_blank', 'noopener');
            }
          }
        ]
      }
    );
  }

  /** Settings that are ignored or weren't stored: each told once. */
  settings({ ignored, failure, unkept }: ISettingsNews): void {
    const told = [
      ignored.length > 0 &&
        this._trans._n(
          'SantaJupyter ignores this setting, which is unknown or wrong: %2',
          'SantaJupyter ignores these settings, which are unknown or wrong: %2',
          ignored.length,
          ignored.join(', ')
        ),
      failure &&
        this._trans.__(
          'No code suggestions until the settings can be read: %1',
          failure
        ),
      unkept &&
        this._trans.__(
          'Holds until the page is closed, as it could not be stored: %1',
          unkept
        )
    ];
    for (const message of told) {
      if (message && !this._settingsTold.has(message)) {
        this._settingsTold.add(message);
        // It stays until it was seen: only the user can mend it.
        Notification.warning(message, { autoClose: false });
      }
    }
  }

  private _settingsTold = new Set<string>();
  private _hasFailed = false;
  private _modelError: string | null = null;
}

function warn(message: string): void {
  Notification.warning(message, { autoClose: 10000 });
}
