import { VDomModel } from '@jupyterlab/ui-components';
import { Poll } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';

import { isComing, type IStatus, ServerError } from './protocol';
import { type SantaApi } from './api';

const BUSY_INTERVAL = 1000;
const CALM_INTERVAL = 10000;
/** Seconds for which the server is left alone after failures, the first and the longest. */
const FIRST_PAUSE = 1;
const MAX_PAUSE = 10;
/** While the server can't be reached, typing has it looked for so often. */
const LOST_INTERVAL = 3000;
/** A server without santajupyter, which may get it, or be another one after a restart. */
const ABSENT_INTERVAL = 30_000;
/** Time in which a request has reached the server and its model begins to load. */
const ARRIVAL = 300;
/** An answer that takes no longer needs no sign that it is on its way. */
const PATIENCE = 200;

/** Who knows the server, and is told how each request went. */
export interface IServerWatch {
  /** The model that answers now, as far as known. */
  readonly serving: string | null;
  /** Whether there is no santajupyter, as far as known. */
  readonly isAbsent: boolean;
  /** Whether to ask at all now. */
  mayAsk(automatic: boolean): boolean;
  asked(): void;
  answered(): void;
  failed(error: unknown): void;
  /** Whatever came of it; of a request that was taken back nothing else is told. */
  ended(): void;
}

/** Who tells the user what there is to know. */
export interface INotices {
  failed(error: unknown): void;
  recovered(): void;
  terms(status: IStatus): void;
  model(status: IStatus): void;
}

/** Follows the model's state on the server, and how requests go. */
export class Monitor extends VDomModel implements IServerWatch {
  constructor(
    private readonly _api: SantaApi,
    private readonly _notices: INotices
  ) {
    super();
    this._poll = new Poll({
      name: 'santajupyter:status',
      factory: () => this._refresh(),
      frequency: { interval: CALM_INTERVAL, backoff: true, max: 60000 },
      standby: 'when-hidden'
    });
  }

  /** What the server said last; null before, and where it can't be reached. */
  get status(): IStatus | null {
    return this._status;
  }

  get serving(): string | null {
    return this._status?.serving ?? null;
  }

  /** Emits when another model answers, or none. */
  get servingChanged(): ISignal<this, void> {
    return this._servingChanged;
  }

  /** Whether the model that was chosen is loaded, as far as known. */
  get isReady(): boolean {
    return this._status?.state === 'ready';
  }

  /** Whether a request has been waiting for its end for some time. */
  get isThinking(): boolean {
    return this._thinking;
  }

  /** Why the server didn't do what the user asked last; "" if it did. */
  get refusal(): string {
    return this._refusal;
  }

  /** Whether somebody looks at the figures: they are asked for more often then. */
  set isWatched(isWatched: boolean) {
    this._watched = isWatched;
    this._refusal = '';
    this._setInterval();
    if (isWatched) {
      // A new interval begins only after the next look.
      void this._poll.refresh();
    }
  }

  /** Whether the server had no santajupyter when it was asked last. */
  get isAbsent(): boolean {
    return this._absent;
  }

  /** Whether the server is one with santajupyter, as far as known, but can't be reached. */
  get isAway(): boolean {
    return this._lost && !this._absent && this._status === null;
  }

  /** Whether the server refused to say how it is: perhaps a login has expired. */
  get isRefused(): boolean {
    return this._refused;
  }

  mayAsk(automatic: boolean): boolean {
    if (this._absent) {
      this._lookAgain(automatic ? ABSENT_INTERVAL : BUSY_INTERVAL);
      return false;
    }
    if (automatic && this._lost) {
      this._lookAgain(LOST_INTERVAL);
      return false;
    }
    return !(automatic && Date.now() < this._pausedUntil);
  }

  asked(): void {
    this._inFlight++;
    window.clearTimeout(this._patience);
    this._patience = window.setTimeout(() => this._think(true), PATIENCE);
    if (this._status?.state !== 'ready') {
      setTimeout(() => this._lookAgain(), ARRIVAL);
    }
  }

  answered(): void {
    this._lost = false;
    this._pause = 0;
    this._pausedUntil = 0;
    this._notices.recovered();
    if (this._status?.state !== 'ready') {
      this._lookAgain();
    }
  }

  failed(error: unknown): void {
    if (error instanceof ServerError) {
      this._absent = error.isAbsent;
      this._wait(error.retryAfter);
    } else {
      this._lost = true;
    }
    this._notices.failed(error);
    this._lookAgain();
  }

  ended(): void {
    this._inFlight--;
    if (this._inFlight === 0) {
      window.clearTimeout(this._patience);
      this._think(false);
    }
  }

  /** Loads the model, or switches to another one of those allowed. */
  async load(model?: string): Promise<void> {
    await this._change(this._api.load(model));
  }

  async unload(): Promise<void> {
    await this._change(this._api.unload());
  }

  override dispose(): void {
    window.clearTimeout(this._patience);
    this._poll.dispose();
    super.dispose();
  }

  private async _change(answer: Promise<IStatus>): Promise<void> {
    this._refusal = '';
    try {
      this._learn(await answer);
      this._lookAgain();
    } catch (error) {
      this._refusal = error instanceof Error ? error.message : String(error);
      this._notices.failed(error);
      this.stateChanged.emit();
    }
  }

  private _think(isThinking: boolean): void {
    if (this._thinking !== isThinking) {
      this._thinking = isThinking;
      this.stateChanged.emit();
    }
  }

  /** Leaves the server alone as long as it asked for; longer each time that it fails again. */
  private _wait(retryAfter: number): void {
    this._pause = Math.min(
      Math.max(2 * this._pause, retryAfter, FIRST_PAUSE),
      MAX_PAUSE
    );
    this._pausedUntil = Date.now() + 1000 * this._pause;
  }

  /** Asks for the state now, unless that was just done. */
  private _lookAgain(interval = BUSY_INTERVAL): void {
    if (Date.now() - this._asked > interval && !this._poll.isDisposed) {
      void this._poll.refresh();
    }
  }

  private async _refresh(): Promise<void> {
    this._asked = Date.now();
    let status: IStatus;
    try {
      status = await this._api.status();
    } catch (error) {
      this._lost = true;
      this._absent = error instanceof ServerError && error.isAbsent;
      this._refused = error instanceof ServerError && error.isRefusal;
      this._set(null);
      // The poll asks less and less often then.
      throw error;
    }
    this._learn(status);
  }

  private _learn(status: IStatus): void {
    this._lost = false;
    this._absent = false;
    this._refused = false;
    this._set(status);
    this._notices.terms(status);
    this._notices.model(status);
    this._setInterval();
  }

  private _set(status: IStatus | null): void {
    const { serving } = this;
    this._status = status;
    this.stateChanged.emit();
    if (this.serving !== serving) {
      this._servingChanged.emit();
    }
  }

  private _setInterval(): void {
    const { _status: status } = this;
    const isBusy =
      this._watched || isComing(status) || isComing(status?.fallback ?? null);
    const interval = isBusy ? BUSY_INTERVAL : CALM_INTERVAL;
    if (this._poll.frequency.interval !== interval) {
      this._poll.frequency = { ...this._poll.frequency, interval };
    }
  }

  private _absent = false;
  private _asked = 0;
  /** Whether the server didn't answer when it was asked last. */
  private _lost = false;
  private _pause = 0;
  private _inFlight = 0;
  private _patience = 0;
  private _pausedUntil = 0;
  private _poll: Poll;
  private _refusal = '';
  private _refused = false;
  private _servingChanged = new Signal<this, void>(this);
  private _status: IStatus | null = null;
  private _thinking = false;
  private _watched = false;
}
