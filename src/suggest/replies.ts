import type { IPlace } from '../document/types';
import type { Reply } from './reply';

/** Enough for the way through a few cells and back. */
const MAX_REPLIES = 64;

/**
 * The newest replies over all notebooks and cells, to answer from when the user
 * types what a ghost says, goes back, or comes again to another cell.
 */
export class Replies {
  /** Those on whose way a place is, with nothing around it changed; they count as the newest now. */
  at(place: IPlace, around: string): Reply[] {
    const found: Reply[] = [];
    const others: Reply[] = [];
    for (const reply of this._replies.filter(isUsable)) {
      const fits = reply.around === around && reply.rest(place) !== null;
      (fits ? found : others).push(reply);
    }
    this._replies = [...found, ...others];
    return found;
  }

  /** Those on whose way a place is go along to where others' changes of the text moved it. */
  follow(from: IPlace, to: IPlace): void {
    for (const reply of this._replies.filter(isUsable)) {
      if (reply.rest(from) !== null) {
        reply.follow(to);
      }
    }
  }

  /** Puts these first, in their order. */
  add(...replies: Reply[]): void {
    const all = [...new Set([...replies, ...this._replies])];
    this._replies = all.slice(0, MAX_REPLIES);
  }

  clear(): void {
    this._replies = [];
  }

  private _replies: Reply[] = [];
}

function isUsable(reply: Reply): boolean {
  return !reply.isAborted && reply.error === null;
}
