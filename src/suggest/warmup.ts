import type { ISessionContext } from '@jupyterlab/apputils';
import type { Widget } from '@lumino/widgets';

import { activeEditor, sessionContext } from '../document/context';
import type { ICompletionRequest } from '../server/protocol';
import type { SantaApi } from '../server/api';
import type { Monitor } from '../server/monitor';
import type { Session } from './session';

/** Milliseconds that the user must rest: who passes through cells types in none of them. */
const REST = 150;
/** After a completion: the model may have kept an older choice of the notebook's parts, which cost less to read. */
const LONG_REST = 2000;
/** Characters that each model reads all of: there is nothing to choose. */
const FEW = 1500;

/**
 * Has the model read the notebook around the cursor before the first key, so
 * that the first ghost text needs no more than the key itself to be read.
 */
export class Warmup {
  constructor(
    private readonly _api: SantaApi,
    private readonly _session: Session,
    private readonly _monitor: Pick<Monitor, 'isReady'>,
    private readonly _widget: () => Widget | null
  ) {
    _session.asked.connect((_, request) => this._yield(request));
  }

  /** The user may have come to another place. */
  soon(): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this._warm(), REST);
  }

  /** Another model answers now, which has read nothing yet; or there is time to read what is best by now. */
  anew(): void {
    this._read = null;
    this.soon();
  }

  private async _warm(): Promise<void> {
    const widget = this._widget();
    if (!widget || !this._isWorthwhile(widget)) {
      return;
    }
    const context = sessionContext(widget);
    if (context?.session?.kernel?.status === 'busy') {
      this._waitFor(context);
      return;
    }
    if (this._session.isAsking) {
      this.soon();
      return;
    }
    const request = await this._session.upcoming(widget);
    if (!request || this._isRead(request)) {
      return;
    }
    this._controller.abort();
    this._controller = new AbortController();
    await this._send(request, this._controller.signal);
  }

  /** Whether the first key may ask there; who passes through cells in command mode isn't about to type. */
  private _isWorthwhile(widget: Widget): boolean {
    return activeEditor(widget)?.hasFocus() === true && this._monitor.isReady;
  }

  /** The user's own computation goes first. */
  private _waitFor(context: ISessionContext): void {
    this._awaited?.statusChanged.disconnect(this._onStatus, this);
    this._awaited = context;
    context.statusChanged.connect(this._onStatus, this);
  }

  private _onStatus(context: ISessionContext, status: string): void {
    if (status !== 'busy') {
      context.statusChanged.disconnect(this._onStatus, this);
      this._awaited = null;
      this.soon();
    }
  }

  private async _send(
    request: ICompletionRequest,
    signal: AbortSignal
  ): Promise<void> {
    this._read = request;
    try {
      await this._api.warm(request, signal);
    } catch {
      // Nobody waits for it, and a completion tells what is wrong with the server.
      if (!signal.aborted) {
        this._read = null;
      }
    }
  }

  /** A completion goes first. It reads the same, or the user has left the place; what was read is kept. */
  private _yield(request: ICompletionRequest): void {
    window.clearTimeout(this._timer);
    window.clearTimeout(this._later);
    if (length(request) > FEW) {
      this._later = window.setTimeout(() => this.anew(), LONG_REST);
    }
    this._controller.abort();
    this._read = request;
  }

  private _isRead(request: ICompletionRequest): boolean {
    return this._read !== null && promptOf(request) === promptOf(this._read);
  }

  private _awaited: ISessionContext | null = null;
  private _controller = new AbortController();
  /** What the model has read last, or is reading. */
  private _read: ICompletionRequest | null = null;
  private _timer = 0;
  private _later = 0;
}

function length({ cells }: ICompletionRequest): number {
  return cells.reduce((sum, { source }) => sum + source.length, 0);
}

/** The part of a request that the model reads: a cell's count alone seldom changes a prompt. */
function promptOf(request: ICompletionRequest): string {
  const { cells, active, offset, language, variables = [] } = request;
  const texts = cells.map(({ type, source, outputs }) => [
    type,
    source,
    outputs
  ]);
  // Modules come with imports, which the cells spell.
  const facts = variables.filter(({ type }) => type !== 'module');
  return JSON.stringify([texts, active, offset, language, facts]);
}
