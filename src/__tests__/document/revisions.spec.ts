import { type ISharedCell, type YCodeCell, YNotebook } from '@jupyter/ydoc';
import type { ICellModel } from '@jupyterlab/cells';
import type { INotebookModel } from '@jupyterlab/notebook';
import { Signal } from '@lumino/signaling';

import { Revisions } from '../../document/revisions';

/** JupyterLab's model of a cell, which wants a whole browser; its text and outputs are real. */
function model(sharedModel: ISharedCell): ICellModel {
  return {
    type: sharedModel.cell_type,
    sharedModel,
    get outputs() {
      const all = (sharedModel as YCodeCell).getOutputs();
      return {
        length: all.length,
        get: (i: number) => ({ type: all[i].output_type })
      };
    }
  } as unknown as ICellModel;
}

/** A notebook of three code cells, in the first of which somebody types. */
function setUp() {
  const notebook = new YNotebook();
  const cell = (source: string) => ({ cell_type: 'code' as const, source });
  notebook.insertCells(0, ['a', 'b', 'c'].map(cell));
  const models = notebook.cells.map(model);
  const cells = Object.assign([...models], { changed: new Signal({}) });
  notebook.changed.connect((_, { cellsChange }) => {
    const added = cellsChange?.flatMap(({ insert }) => insert ?? []) ?? [];
    cells.changed.emit({ newValues: added.map(model) });
  });
  const revisions = Revisions.of({ cells } as unknown as INotebookModel);
  const around = (active = 0) => revisions.around(models[active]);
  const shared = (index: number) => notebook.getCell(index) as YCodeCell;
  return { around, cell, cells, notebook, shared };
}

type Page = ReturnType<typeof setUp>;

const error = { output_type: 'error' as const, ename: 'E', evalue: '' };
const failure = { ...error, traceback: [] };
const stream = { output_type: 'stream' as const, name: 'stdout', text: '1' };

describe('what stands around a cell', () => {
  it.each<[string, (page: Page) => void]>([
    ['typing there', ({ shared }) => shared(0).updateSource(1, 1, 'bc')],
    ['a new text there', ({ shared }) => shared(0).setSource('x')],
    ['what a run prints', ({ shared }) => shared(1).setOutputs([stream])],
    ['metadata', ({ shared }) => shared(1).setMetadata('a', 1)]
  ])('is the same after %s', (_, change) => {
    const page = setUp();
    const before = page.around();
    change(page);
    expect(page.around()).toBe(before);
  });

  it.each<[string, (page: Page) => void]>([
    ['typing elsewhere', ({ shared }) => shared(1).updateSource(0, 0, 'x')],
    ['a run', ({ shared }) => (shared(0).execution_count = 1)],
    ['an error', ({ shared }) => shared(1).setOutputs([failure])],
    ['a new cell', ({ cell, notebook }) => notebook.insertCell(3, cell(''))],
    ['a cell less', ({ notebook }) => notebook.deleteCell(2)],
    ['another order', ({ notebook }) => notebook.moveCell(1, 2)]
  ])('is something else after %s', (_, change) => {
    const page = setUp();
    const before = page.around();
    change(page);
    expect(page.around()).not.toBe(before);
  });

  it('is something else after an error went away', () => {
    const { around, shared } = setUp();
    shared(1).setOutputs([failure]);
    const before = around();
    shared(1).setOutputs([]);
    expect(around()).not.toBe(before);
  });

  it('counts new cells too, and not what is typed into them', () => {
    const { around, cell, notebook, shared } = setUp();
    notebook.insertCell(3, cell('d'));
    const before = around();
    shared(3).setSource('e');
    expect(around()).not.toBe(before);
  });

  it('is the same again in a cell to which the user comes back, unless there were changes elsewhere', () => {
    const { around, shared } = setUp();
    const [first, second] = [around(0), around(1)];
    shared(1).setSource('x');
    expect(around(1)).toBe(second);
    expect(around(0)).not.toBe(first);
  });

  it('is another thing in another notebook', () => {
    expect(setUp().around()).not.toBe(setUp().around());
  });

  it('is asked for without a look at any text', () => {
    const { around, notebook } = setUp();
    around();
    const looks = notebook.cells.map(cell => jest.spyOn(cell, 'getSource'));
    around();
    expect(looks.map(look => look.mock.calls.length)).toEqual([0, 0, 0]);
  });
});
