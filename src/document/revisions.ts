import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { INotebookModel } from '@jupyterlab/notebook';

import { hasFailed } from './outputs';

/**
 * Counts a notebook's changes as they come, by whomever, so that whether there
 * was one is known without a look at the notebook.
 */
export class Revisions {
  /** The count of a notebook, which is the same each time. */
  static of(model: INotebookModel): Revisions {
    let revisions = known.get(model);
    if (!revisions) {
      revisions = new Revisions(model);
      known.set(model, revisions);
    }
    return revisions;
  }

  private constructor(model: INotebookModel) {
    this._watch(model.cells);
    model.cells.changed.connect((_, { newValues }) => {
      this._count++;
      this._watch(newValues);
    });
  }

  /** Another text where anything changed, but for what was typed into `cell`. */
  around(cell: ICellModel | undefined): string {
    const typed = (cell && this._typed.get(cell)) ?? 0;
    return `${this._id}:${this._count - typed}`;
  }

  private _watch(cells: Iterable<ICellModel>): void {
    for (const cell of cells) {
      if (!this._typed.has(cell)) {
        this._typed.set(cell, 0);
        this._watchCell(cell);
      }
    }
  }

  private _watchCell(cell: ICellModel): void {
    const code = cell.type === 'code' ? (cell as ICodeCellModel) : null;
    let failed = code !== null && hasFailed(code);
    cell.sharedModel.changed.connect((_, change) => {
      if (cell.isDisposed) {
        return;
      }
      if (change.sourceChange) {
        this._count++;
        this._typed.set(cell, (this._typed.get(cell) ?? 0) + 1);
      }
      if ('executionCountChange' in change) {
        this._count++;
      }
      // What a cell prints while it runs says little, and changes all the time.
      if (code && 'outputsChange' in change && hasFailed(code) !== failed) {
        failed = !failed;
        this._count++;
      }
    });
  }

  private _count = 0;
  private readonly _id = ++notebooks;
  /** How often each cell's text changed. */
  private readonly _typed = new WeakMap<ICellModel, number>();
}

const known = new WeakMap<INotebookModel, Revisions>();
let notebooks = 0;
