import { type ISignal, Signal } from '@lumino/signaling';

/** Milliseconds that one bar of the chart stands for, and how many there are. */
const SPAN = 5 * 60_000;
const BARS = 12;

export interface ICount {
  shown: number;
  accepted: number;
}

/** What became of suggestions since the page was opened; it is kept nowhere else and told to nobody. */
export class Figures {
  constructor(private readonly _now: () => number = Date.now) {}

  get changed(): ISignal<this, void> {
    return this._changed;
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

  shown(): void {
    this._taken = false;
    this._count('shown');
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
  private _lastAccepted = '';
  /** Whether any of the suggestion shown last was accepted. */
  private _taken = false;
  private _spans = new Map<number, ICount>();
  private _total: ICount = { shown: 0, accepted: 0 };
}

const NONE: Readonly<ICount> = { shown: 0, accepted: 0 };
