import type { Event } from '@jupyterlab/services';

import type { Monitor } from './monitor';
import type { ICompletionRequest } from './protocol';

/** As in `suggestion-event.yaml`, which the server checks each event against. */
const SCHEMA = {
  schema_id: 'https://schema.jupyter.org/santajupyter/suggestion/v1',
  version: '1'
};

/** What became of a suggestion: no text. */
export interface IOutcome extends Pick<
  ICompletionRequest,
  'trigger' | 'mode' | 'language'
> {
  action: 'shown' | 'accepted' | 'dismissed';
  characters: number;
  lines: number;
  /** Since it was asked for, or since it was shown. */
  milliseconds: number;
}

/** Tells Jupyter Server's event logger what becomes of suggestions, where the server says that it wants to know. */
export class SuggestionEvents {
  constructor(
    private readonly _events: Pick<Event.IManager, 'emit'>,
    private readonly _monitor: Pick<Monitor, 'status' | 'stateChanged'>
  ) {
    _monitor.stateChanged.connect(() => {
      // One that comes back may be another one.
      if (!_monitor.status) {
        this._isRefused = false;
      }
    });
  }

  /** One after another: after a refusal nothing more is sent. */
  tell(outcome: IOutcome, model: string): Promise<void> {
    this._told = this._told.then(() => this._send(outcome, model));
    return this._told;
  }

  private async _send(outcome: IOutcome, model: string): Promise<void> {
    if (!this._monitor.status?.emit_events || this._isRefused) {
      return;
    }
    const names = { model: word(model), language: word(outcome.language) };
    try {
      await this._events.emit({ ...SCHEMA, data: { ...outcome, ...names } });
    } catch {
      this._isRefused = true;
    }
  }

  private _isRefused = false;
  private _told = Promise.resolve();
}

/** A name as the schema takes it. */
function word(name: string): string {
  return name.replace(/[^\w.+#-]+/g, '-').slice(0, 50);
}
