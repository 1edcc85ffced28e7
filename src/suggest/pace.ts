/** Bounds of the wait after a key, in milliseconds; a longer gap between keys is a rest. */
export const SHORTEST = 20;
export const LONGEST = 500;
/** Gaps and answers that say how it goes now. */
const GAPS = 20;
const ANSWERS = 5;
/** Taken while too little is known: most people's keys. */
const USUAL_GAP = 200;
const FEW = 5;

/** How fast the user types and the server answers; times are in milliseconds. */
export class Pace {
  /** A key changed the text. */
  typed(now: number): void {
    const gap = now - this._last;
    this._last = now;
    if (gap < LONGEST) {
      this._gaps = [...this._gaps, gap].slice(-GAPS);
    }
  }

  /** The first text of a completion came, so long after it was asked for. */
  answered(latency: number): void {
    this._answers = [...this._answers, latency].slice(-ANSWERS);
  }

  /** How long to wait after a key before the server is asked. */
  get wait(): number {
    return waitAfterKey(this._gaps, this._answers);
  }

  private _answers: number[] = [];
  private _gaps: number[] = [];
  private _last = -Infinity;
}

/**
 * An answer that usually comes before the next key may be asked for at each;
 * waiting as long as it takes only leaves out keys struck together. Any other
 * would be lost to the next key: then the wait outlasts nine of ten gaps, so that
 * a burst costs no request, and a quarter of the answer's time, which isn't felt.
 */
export function waitAfterKey(gaps: number[], answers: number[]): number {
  const isKnown = gaps.length >= FEW;
  const gap = isKnown ? quantile(gaps, 0.5) : USUAL_GAP;
  const longGap = isKnown ? quantile(gaps, 0.9) : USUAL_GAP;
  const answer = answers.length > 0 ? quantile(answers, 0.5) : USUAL_GAP;
  const wait = 2 * answer <= gap ? answer : Math.max(longGap, answer / 4);
  return Math.min(Math.max(wait, SHORTEST), LONGEST);
}

/** The value that a share `q` of the values doesn't exceed; there must be some. */
export function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(Math.ceil(q * sorted.length) - 1, 0)];
}
