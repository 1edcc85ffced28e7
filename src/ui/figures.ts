import { type ISignal, Signal } from '@lumino/signaling';

import type { IGhostItem } from '../jupyterlab/ghosts';
import type { IGone } from '../jupyterlab/screen';
import type { IOutcome } from '../server/events';

/** Milliseconds that one bar of the chart stands for, and how many there are. */
const SPAN = 5 * 60_000;
const BARS = 12;

export interface ICount {
  shown: number;
  accepted: number;
}

/** What became of suggestions since the page was opened; its texts are kept nowhere else and told to nobody. */
export class Figures {
  constructor(private readonly _now: () => number = Date.now) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Emits what became of a suggestion, without its text, where it is known how it was asked for. */
  get happened(): ISignal<this, IOutcome> {
    return this._happened;
  }

  get total(): Readonly<ICount> {
    return this._total;
  }

  /** The text accepted last, "" before. */
  get lastAccepted(): string {
    return this._lastAccepted;
  }

  /** The counts of the last hour by five minutes, the oldest first. */
  get recent(): ICount[] {
    const last = this._span();
    return Array.from(
      { length: BARS },
      (_, i) => this._spans.get(last - BARS + 1 + i) ?? NONE
    );
  }

  shown(ghost: IGhostItem): void {
    this._taken = false;
    this._count('shown');
    const { asked } = ghost.suggestion;
    const waited = performance.now() - (asked?.at ?? 0);
    this._tell('shown', ghost, ghost.insertText, waited);
  }

  /** A suggestion that is accepted in parts counts once, and its text is all of them. */
  accepted(text: string): void {
    this._lastAccepted = this._taken ? this._lastAccepted + text : text;
    if (this._taken) {
      this._changed.emit();
    } else {
      this._taken = true;
      this._count('accepted');
    }
  }

  /** A suggestion has gone: nothing more of it will be accepted, unless it comes back. */
  gone({ ghost, milliseconds }: IGone<IGhostItem>): void {
    const { suggestion, insertText } = ghost;
    if (this._taken) {
      this._tell('accepted', ghost, this._lastAccepted, milliseconds);
    } else if (insertText && !this._dismissed.has(suggestion)) {
      this._dismissed.add(suggestion);
      this._tell('dismissed', ghost, insertText, milliseconds);
    }
    this._taken = false;
  }

  private _tell(
    action: IOutcome['action'],
    { suggestion: { asked } }: IGhostItem,
    text: string,
    milliseconds: number
  ): void {
    if (asked) {
      this._happened.emit({
        action,
        trigger: asked.trigger,
        mode: asked.mode,
        language: asked.language,
        characters: text.length,
        lines: text.split('\n').length,
        milliseconds: Math.round(milliseconds)
      });
    }
  }

  private _count(what: keyof ICount): void {
    const now = this._span();
    const span = this._spans.get(now) ?? { ...NONE };
    span[what]++;
    this._total[what]++;
    this._spans.set(now, span);
    for (const old of this._spans.keys()) {
      if (old <= now - BARS) {
        this._spans.delete(old);
      }
    }
    this._changed.emit();
  }

  private _span(): number {
    return Math.floor(this._now() / SPAN);
  }

  private _changed = new Signal<this, void>(this);
  private _dismissed = new WeakSet<object>();
  private _happened = new Signal<this, IOutcome>(this);
  private _lastAccepted = '';
  /** Whether any of the suggestion on the screen was accepted. */
  private _taken = false;
  private _spans = new Map<number, ICount>();
  private _total: ICount = { shown: 0, accepted: 0 };
}

const NONE: Readonly<ICount> = { shown: 0, accepted: 0 };
