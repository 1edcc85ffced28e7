import type { IPlace } from './context';

/** Makes the text; tells the text so far each time it grows, and stops at the signal. */
export type Run = (
  signal: AbortSignal,
  onText: (text: string) => void
) => Promise<string>;

/**
 * The server's answer for one place, growing while it streams in. It also
 * answers each place that the user reaches by typing what it says.
 */
export class Reply {
  constructor(
    readonly place: IPlace,
    run: Run
  ) {
    void this._start(run);
  }

  /** Whether no more text will come. */
  get isDone(): boolean {
    return this._done;
  }

  /** What went wrong, null if nothing did. */
  get error(): unknown {
    return this._error;
  }

  get isAborted(): boolean {
    return this._controller.signal.aborted;
  }

  /** Ends the request; the text so far is no answer then. */
  abort(): void {
    if (!this._done) {
      this._controller.abort();
      this._end();
    }
  }

  /** What is left of the text at a place; null if the place isn't on its way. */
  rest(place: IPlace): string | null {
    return remainder(this.place, this._text, place);
  }

  /** Whether the place is the one that putting in all of the text leads to. */
  isTaken(place: IPlace): boolean {
    return this._text !== '' && this.rest(place) === '';
  }

  /** How many changes there were. */
  get version(): number {
    return this._version;
  }

  /** Resolves when there is a later version than the one seen, or no more will come. */
  changed(seen: number): Promise<void> {
    return this._done || this._version !== seen
      ? Promise.resolve()
      : new Promise(resolve => this._waiting.push(resolve));
  }

  private async _start(run: Run): Promise<void> {
    try {
      this._text = await run(this._controller.signal, text => {
        this._text = text;
        this._wake();
      });
    } catch (error) {
      this._error = error;
    }
    this._end();
  }

  private _end(): void {
    this._done = true;
    this._wake();
  }

  private _wake(): void {
    this._version++;
    const waiting = this._waiting;
    this._waiting = [];
    waiting.forEach(resolve => resolve());
  }

  private _controller = new AbortController();
  private _done = false;
  private _error: unknown = null;
  private _text = '';
  private _version = 0;
  private _waiting: (() => void)[] = [];
}

/**
 * What is left of `text`, proposed at `origin`, at the place `now`: the whole at
 * `origin` itself, less what the user typed of it since. Null if `now` isn't
 * reached from `origin` by typing `text`.
 */
export function remainder(
  origin: IPlace,
  text: string,
  now: IPlace
): string | null {
  if (
    now.editor !== origin.editor ||
    now.suffix !== origin.suffix ||
    !now.prefix.startsWith(origin.prefix)
  ) {
    return null;
  }
  const typed = now.prefix.slice(origin.prefix.length);
  return text.startsWith(typed) ? text.slice(typed.length) : null;
}
