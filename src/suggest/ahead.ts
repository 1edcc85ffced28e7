import type { Widget } from '@lumino/widgets';

import type { IPlace } from '../document/types';
import type { Asking } from './asking';
import type { Reply } from './reply';

/** What follows the suggestion that is shown, asked for before it is accepted. */
export class Ahead {
  constructor(private readonly _asking: Pick<Asking, 'ahead'>) {}

  /** Whether anything is. */
  get isAsked(): boolean {
    return this._reply !== null;
  }

  /** What is asked for a place that accepting leads to: the request before, if that is for it. */
  ask(place: IPlace, widget: Widget): Reply {
    const { _reply } = this;
    if (_reply && !_reply.error && this.isFor(place)) {
      return _reply;
    }
    this.end();
    return (this._reply = this._asking.ahead(place, widget));
  }

  /** Whether the place is on the way of what was asked. */
  isFor(place: IPlace): boolean {
    return this._reply !== null && this._reply.rest(place) !== null;
  }

  /** The one of these that was asked ahead: the user came to its place, it is his own request from now on. */
  take(replies: Reply[]): Reply | null {
    const taken = replies.find(reply => reply === this._reply) ?? null;
    this._reply = taken ? null : this._reply;
    return taken;
  }

  end(): void {
    this._reply?.abort();
    this._reply = null;
  }

  private _reply: Reply | null = null;
}
