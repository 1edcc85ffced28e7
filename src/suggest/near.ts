import type { IPlace } from '../document/types';

/** Characters left and right of a cursor that are kept of a place: so many at least, and at most. */
const LEAST = 4_000;
const MOST = 16_000;
/** Texts far from a cursor that are kept on either side, to know them again. */
const MAX_FAR = 4;

/** A place, of which the text far from the cursor is only known by its length and a number. */
export interface INear extends IPlace {
  head: IFar;
  tail: IFar;
}

interface IFar {
  length: number;
  number: number;
}

/** What is kept of a place. */
export function near({ editor, prefix, suffix }: IPlace): INear {
  const head = heads.of(prefix);
  const tail = tails.of(suffix);
  return {
    editor,
    prefix: copied(prefix.slice(head.length)),
    suffix: copied(suffix.slice(0, suffix.length - tail.length)),
    head,
    tail
  };
}

/** The place without as much of its beginning and end as another one lacks. */
export function cutAs(
  { editor, prefix, suffix }: IPlace,
  { head, tail }: INear
): IPlace {
  return {
    editor,
    prefix: prefix.slice(head.length),
    suffix: suffix.slice(0, Math.max(0, suffix.length - tail.length))
  };
}

/** Whether a place has the text that another one lacks. */
export function isFarSame(
  { prefix, suffix }: IPlace,
  { head, tail }: INear
): boolean {
  return heads.is(prefix, head) && tails.is(suffix, tail);
}

/** The texts far from a cursor, on one side of it, that were met last; the newest first. */
class Far {
  constructor(
    private readonly _has: (text: string, far: string) => boolean,
    private readonly _cut: (text: string) => string
  ) {}

  /** The far part of what is on this side of a cursor. */
  of(text: string): IFar {
    const fits = (far: string) =>
      text.length - far.length >= LEAST &&
      text.length - far.length <= MOST &&
      this._has(text, far);
    if (text.length <= MOST) {
      return { length: 0, number: 0 };
    }
    const known = this._known.find(({ far }) => fits(far));
    const { far, number } = known ?? this._new(this._cut(text));
    return { length: far.length, number };
  }

  is(text: string, { number }: IFar): boolean {
    const known = this._known.find(far => far.number === number);
    return number === 0 || (known !== undefined && this._has(text, known.far));
  }

  private _new(far: string): { far: string; number: number } {
    const known = { far, number: ++this._count };
    this._known = [known, ...this._known].slice(0, MAX_FAR);
    return known;
  }

  private _count = 0;
  private _known: { far: string; number: number }[] = [];
}

const heads = new Far(
  (text, far) => text.startsWith(far),
  text => text.slice(0, -2 * LEAST)
);
const tails = new Far(
  (text, far) => text.endsWith(far),
  text => text.slice(2 * LEAST)
);

/** The same text, without the longer one that a browser keeps in memory for what is cut from it. */
function copied(text: string): string {
  return ` ${text}`.slice(1);
}
