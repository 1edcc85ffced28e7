import type { Widget } from '@lumino/widgets';

import type { IPlace } from '../document/types';
import type { IGhostItem } from '../jupyterlab/ghosts';
import type { TextChange } from '../jupyterlab/internals';
import { movedBy } from '../jupyterlab/otherschanges';
import { lineAt } from './reply';

/** Rejects a call that has no answer any more; JupyterLab keeps what it shows. */
export class Superseded extends Error {}

/** What one call for suggestions has begun, until the next one. */
export class Turn {
  constructor(
    readonly widget: Widget,
    place: IPlace
  ) {
    this._place = place;
    this._offset = place.prefix.length;
  }

  isOver = false;

  /** Where the suggestions are for; others' changes of the text move it. */
  get place(): IPlace {
    return this._place;
  }

  /** Whether somebody waits for what will be found. */
  get isWaitedFor(): boolean {
    return !this.isOver && this._found !== null;
  }

  /** What is found, for the one who called. */
  finds(found: Promise<IGhostItem[]>): Promise<IGhostItem[]> {
    const ends = () => (this._found = null);
    this._found = found;
    const result = this.again();
    void found.then(ends, ends);
    return result;
  }

  /** What is found, for a later call alone: JupyterLab doesn't hear the one before any more. */
  async again(): Promise<IGhostItem[]> {
    const call = ++this._calls;
    const items = await this._found;
    if (!items || call !== this._calls) {
      throw new Superseded();
    }
    return items;
  }

  /** Someone else changes the text. */
  shift(change: TextChange): void {
    this._offset = movedBy(change, this._offset);
  }

  /** Goes along to where the cursor is unless others changed its line, or the user went elsewhere. */
  follow(place: IPlace): boolean {
    return lineAt(place) === lineAt(this._place) && this.goesTo(place);
  }

  /** Is for where the cursor is, whatever others changed; false if the user went elsewhere. */
  goesTo(place: IPlace): boolean {
    const isThere =
      !this.isOver &&
      place.editor === this._place.editor &&
      place.prefix.length === this._offset;
    if (isThere) {
      this._place = place;
    }
    return isThere;
  }

  private _calls = 0;
  private _found: Promise<IGhostItem[]> | null = null;
  private _offset: number;
  private _place: IPlace;
}
