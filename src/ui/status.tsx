import { TextItem } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomRenderer } from '@jupyterlab/ui-components';
import React from 'react';

import { santaIcon } from '../icon';
import type { Monitor } from '../server/monitor';
import { stateLabel, statusLabel, statusSentence } from './sentences';
import { type IStanding, standingLabel, standingSentence } from './standing';

const MINUTE = 60_000;

/** The model's state and whether suggestions come, in the status bar; a click opens the menu. */
export class StatusItem extends VDomRenderer<Monitor> {
  constructor(
    monitor: Monitor,
    private readonly _standing: IStanding,
    private readonly _trans: TranslationBundle,
    private readonly _open: (node: HTMLElement) => void
  ) {
    super(monitor);
    this.addClass('santa-StatusItem');
    this.addClass('jp-mod-highlighted');
  }

  override dispose(): void {
    window.clearTimeout(this._tick);
    super.dispose();
  }

  protected override render(): JSX.Element | null {
    const status = this.model?.status;
    if (!status && !this.model?.isAway) {
      return null;
    }
    this._renewSoon();
    const isWaiting = status?.state === 'loading' || this.model?.isThinking;
    const standing = standingLabel(this._standing, this._trans);
    const label = status
      ? statusLabel(status, this._trans)
      : this.model?.isRefused
        ? this._trans.__('SantaJupyter: server refuses')
        : this._trans.__('SantaJupyter: server away');
    const sentences = [
      standingSentence(this._standing, this._trans),
      status ? statusSentence(status, this._trans) : ''
    ];
    // The model's state may be why nothing comes.
    const title = [...new Set(sentences)].filter(Boolean).join('\n');
    return (
      <button
        className={`santa-StatusItem-content santa-mod-${status?.state ?? 'away'}`}
        aria-haspopup="menu"
        title={title}
        // The focus stays in the editor, and the ghost with it.
        onMouseDown={event => event.preventDefault()}
        onClick={event => this._open(event.currentTarget)}
      >
        {isWaiting ? (
          <span className="santa-Spinner" />
        ) : (
          <santaIcon.react tag="span" stylesheet="statusBar" />
        )}
        <TextItem
          source={standing ? this._trans.__('%1, %2', label, standing) : label}
        />
        {status?.progress?.total ? (
          <progress
            aria-label={stateLabel(status, this._trans)}
            value={status.progress.done}
            max={status.progress.total}
          />
        ) : null}
      </button>
    );
  }

  /** While suggestions are off for some minutes, these are counted. */
  private _renewSoon(): void {
    window.clearTimeout(this._tick);
    const left = this._standing.settings.snoozedUntil - Date.now();
    if (left > 0) {
      this._tick = window.setTimeout(
        () => this.update(),
        (left % MINUTE) + 100
      );
    }
  }

  private _tick = 0;
}
