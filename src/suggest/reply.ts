import type { IPlace } from '../document/types';
import type { IAsked } from '../jupyterlab/ghosts';
import { cutAs, type INear, isFarSame, near } from './near';

/** Makes the text; tells the text so far each time it grows, and another one before it; stops at the signal. */
export type Run = (
  signal: AbortSignal,
  onText: (text: string) => void,
  onMeanwhile: (text: string) => void
) => Promise<string>;

/**
 * The server's answer for one place, growing while it streams in. It also
 * answers each place that the user reaches by typing what it says. `around` is
 * what stood in the other cells. Another text may stand in for it until it says
 * something else, and for good where the user goes on with that one.
 */
export class Reply {
  constructor(
    place: IPlace,
    public around: string,
    run: Run,
    readonly asked: IAsked | null = null
  ) {
    this._place = near(place);
    this._line = lineAt(place);
    void this._start(run);
  }

  /** Statements that have to run first, known with the whole text. */
  imports: readonly string[] = [];

  /** Why there is no text, in the server's word; "" if it said none. */
  reason = '';

  /** Where it was asked for. A reply outlives the text there, which may be a long file's. */
  get place(): INear {
    return this._place;
  }

  /** One that is there already. */
  static of(
    text: string,
    place: IPlace,
    around: string,
    asked: IAsked | null = null,
    imports: readonly string[] = []
  ): Reply {
    const run = () => Promise.resolve(text);
    const reply = new Reply(place, around, run, asked);
    reply._text = text;
    reply._done = true;
    reply.imports = imports;
    return reply;
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
    for (const text of [this._shown, this._meanwhile]) {
      for (const origin of [this._place, this._before]) {
        const rest = origin && this._restFrom(origin, text, place);
        // Who has all of what stood in wants what follows, which isn't being asked for.
        if (rest || (rest === '' && text === this._text)) {
          return rest;
        }
      }
    }
    return null;
  }

  /** Is for this place from now on, to which an import above leads; and still for the one that undo leads back to. */
  goTo({ editor, prefix, suffix }: IPlace): void {
    const before = this._place;
    if (this.follow({ editor, prefix, suffix })) {
      this._before = before;
    }
  }

  /** Goes along to where the cursor is since someone else changed other lines of the text; false if they changed this one. */
  follow({ editor, prefix, suffix }: IPlace): boolean {
    if (
      editor !== this._place.editor ||
      lineAt({ editor, prefix, suffix }) !== this._line ||
      !prefix.endsWith(this._typed) ||
      !suffix.startsWith(this._closed)
    ) {
      return false;
    }
    this._before = null;
    this._place = near({
      editor,
      prefix: prefix.slice(0, prefix.length - this._typed.length),
      suffix: suffix.slice(this._closed.length)
    });
    return true;
  }

  /** Whether the place is the one that putting in all of the text leads to. */
  isTaken(place: IPlace): boolean {
    const { prefix, suffix } = cutAs(place, this.place);
    return (
      [this._text, this._meanwhile].some(
        text => text !== '' && prefix === this.place.prefix + text
      ) &&
      suffix === this.place.suffix &&
      isFarSame(place, this.place)
    );
  }

  /** Whether there is something to say by now. */
  get hasText(): boolean {
    return this._text !== '';
  }

  /** Whether there was nothing to say. */
  get isEmpty(): boolean {
    return this._done && this._text === '' && this._error === null;
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

  /** What there is to say by now. */
  private get _shown(): string {
    const isOpen = !this._done || this._error !== null;
    return isOpen && this._meanwhile.startsWith(this._text)
      ? this._meanwhile
      : this._text;
  }

  private _restFrom(origin: INear, text: string, place: IPlace): string | null {
    const now = cutAs(place, origin);
    const rest = remainder(origin, text, now);
    if (rest === null || !isFarSame(place, origin)) {
      return null;
    }
    this._typed = now.prefix.slice(origin.prefix.length);
    this._closed = now.suffix.slice(
      0,
      now.suffix.length - origin.suffix.length
    );
    this._line = lineAt(place);
    return rest;
  }

  private async _start(run: Run): Promise<void> {
    try {
      this._text = await run(
        this._controller.signal,
        text => {
          this._text = text;
          this._wake();
        },
        text => {
          this._meanwhile = text;
          this._wake();
        }
      );
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
  /** What was typed of it, what the editor closed by itself, and the cursor's line, where it last was on its way. */
  private _closed = '';
  private _line: string;
  private _meanwhile = '';
  private _typed = '';
  private _place: INear;
  /** Where it was for before an import came in above. */
  private _before: INear | null = null;
  private _text = '';
  private _version = 0;
  private _waiting: (() => void)[] = [];
}

/** The line that the cursor is in, with where it stands. */
export function lineAt({ prefix, suffix }: IPlace): string {
  const left = prefix.slice(prefix.lastIndexOf('\n') + 1);
  const end = suffix.indexOf('\n');
  return `${left}\n${end < 0 ? suffix : suffix.slice(0, end)}`;
}

/**
 * What is left of `text`, proposed at `origin`, at the place `now`: the whole at
 * `origin` itself, less what the user typed of it since. Null if `now` isn't
 * reached from `origin` by typing `text`. Where the editor closed a bracket or a
 * quote by itself, it is what goes in before that.
 */
export function remainder(
  origin: IPlace,
  text: string,
  now: IPlace
): string | null {
  if (
    now.editor !== origin.editor ||
    !now.suffix.endsWith(origin.suffix) ||
    !now.prefix.startsWith(origin.prefix)
  ) {
    return null;
  }
  const typed = now.prefix.slice(origin.prefix.length);
  if (!text.startsWith(typed)) {
    return null;
  }
  const rest = text.slice(typed.length);
  const closed = now.suffix.slice(0, now.suffix.length - origin.suffix.length);
  if (closed === '') {
    return rest;
  }
  const open = stillOpen(typed);
  return closed === open.join('') ? rest.slice(0, inside(rest, open)) : null;
}

const PAIRS: Record<string, string> = { '(': ')', '[': ']', '{': '}' };
const QUOTES = ['"', "'"];

/** What would close the brackets and quotes that `text` leaves open, the innermost first. */
function stillOpen(text: string): string[] {
  const open: string[] = [];
  for (const mark of marks(text)) {
    step(open, mark.text);
  }
  return open;
}

/** How much of `text` lies inside of what is open before it. */
function inside(text: string, before: string[]): number {
  const open = [...before];
  for (const mark of marks(text)) {
    step(open, mark.text);
    if (open.length < before.length) {
      return mark.at;
    }
  }
  return text.length;
}

/** Brackets and quotes, less what a backslash stands before. */
function marks(text: string): { text: string; at: number }[] {
  const found = text.matchAll(/\\.|[()[\]{}"']/gs);
  return Array.from(found, match => ({ text: match[0], at: match.index }));
}

function step(open: string[], mark: string): void {
  if (mark === open[0]) {
    open.shift();
  } else if (QUOTES.includes(open[0])) {
    return;
  } else if (QUOTES.includes(mark)) {
    open.unshift(mark);
  } else if (mark in PAIRS) {
    open.unshift(PAIRS[mark]);
  }
}
