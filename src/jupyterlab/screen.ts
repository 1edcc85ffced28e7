import { type ISignal, Signal } from '@lumino/signaling';

/** Milliseconds for which a ghost may be away: JupyterLab takes it off while it asks again what to show. */
const BLINK = 500;

export interface IGone<T> {
  ghost: T;
  /** For how many milliseconds it was on the screen. */
  milliseconds: number;
}

/** Tells when the ghost that is on the screen has gone for good, or another has come in its place. */
export class Screen<T extends { suggestion: object }> {
  get gone(): ISignal<this, IGone<T>> {
    return this._gone;
  }

  /** What a completer shows now. */
  see(completer: object, ghost: T | null): void {
    if (ghost && ghost.suggestion === this._ghost?.suggestion) {
      window.clearTimeout(this._timer);
      this._left = 0;
    } else if (ghost) {
      this._end();
      this._since = performance.now();
    } else {
      if (completer === this._completer && this._left === 0) {
        this._left = performance.now();
        this._timer = window.setTimeout(() => this._end(), BLINK);
      }
      return;
    }
    this._ghost = ghost;
    this._completer = completer;
  }

  private _end(): void {
    window.clearTimeout(this._timer);
    const ghost = this._ghost;
    const until = this._left || performance.now();
    this._completer = null;
    this._ghost = null;
    this._left = 0;
    if (ghost) {
      this._gone.emit({ ghost, milliseconds: until - this._since });
    }
  }

  private _completer: object | null = null;
  private _ghost: T | null = null;
  private _gone = new Signal<this, IGone<T>>(this);
  /** When it went, 0 while it is there. */
  private _left = 0;
  private _since = 0;
  private _timer = 0;
}
