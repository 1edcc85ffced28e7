import { TextItem } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomRenderer } from '@jupyterlab/ui-components';
import React from 'react';

import { santaIcon } from '../icon';
import type { Monitor } from '../server/monitor';
import { statusLabel, statusSentence } from './sentences';

/** The model's state in the status bar; a click tells more. */
export class StatusItem extends VDomRenderer<Monitor> {
  constructor(
    monitor: Monitor,
    private readonly _trans: TranslationBundle,
    private readonly _open: () => Promise<void>
  ) {
    super(monitor);
    this.addClass('santa-StatusItem');
    this.addClass('jp-mod-highlighted');
  }

  protected override render(): JSX.Element | null {
    const status = this.model?.status;
    if (!status) {
      return null;
    }
    const isWaiting = status.state === 'loading' || this.model?.isThinking;
    return (
      <button
        className={`santa-StatusItem-content santa-mod-${status.state}`}
        aria-haspopup="dialog"
        title={statusSentence(status, this._trans)}
        onClick={() => void this._open()}
      >
        {isWaiting ? (
          <span className="santa-Spinner" />
        ) : (
          <santaIcon.react tag="span" stylesheet="statusBar" />
        )}
        <TextItem source={statusLabel(status, this._trans)} />
        {status.progress?.total ? (
          <progress value={status.progress.done} max={status.progress.total} />
        ) : null}
      </button>
    );
  }
}
