import { Signal } from '@lumino/signaling';

import { answerKernels, perform } from '../../commands/comm';

const copyToSystem = jest.fn();
// All of it needs more of a browser than Jest has.
jest.mock('@jupyterlab/apputils', () => ({
  Clipboard: { copyToSystem: (text: string) => copyToSystem(text) }
}));

/** A notebook of cells a and b, in which b can't be edited. */
function setUp() {
  const cells = ['a', 'b'].map(id => ({
    model: {
      id,
      getMetadata: (key: string) => (key === 'editable' ? id !== 'b' : null),
      sharedModel: { setSource: jest.fn() }
    }
  }));
  const insertCell = jest.fn();
  const kernel = { registerCommTarget: jest.fn() };
  const panel = {
    content: { widgets: cells, model: { sharedModel: { insertCell } } },
    sessionContext: {
      session: { kernel } as object | null,
      kernelChanged: new Signal<object, void>({})
    }
  };
  type Panel = typeof panel;
  const notebooks = {
    panels: [panel],
    find: (wanted: (panel: Panel) => boolean) => notebooks.panels.find(wanted),
    forEach: (visit: (panel: Panel) => void) => notebooks.panels.forEach(visit),
    widgetAdded: new Signal<object, Panel>({})
  };
  const settings = { set: jest.fn().mockResolvedValue(undefined) };
  const ask = (action: object) =>
    perform(action as never, notebooks as never, settings as never);
  return { ask, cells, insertCell, kernel, notebooks, panel, settings };
}

describe('perform', () => {
  it('inserts a cell below the one that was run', async () => {
    const { ask, insertCell } = setUp();
    expect(await ask({ action: 'insert', cell: 'a', text: 'x = 1' })).toBe(
      true
    );
    expect(insertCell).toHaveBeenCalledWith(1, {
      cell_type: 'code',
      source: 'x = 1'
    });
  });

  it('replaces a cell that may be edited', async () => {
    const { ask, cells } = setUp();
    expect(await ask({ action: 'replace', cell: 'a', text: 'y' })).toBe(true);
    expect(cells[0].model.sharedModel.setSource).toHaveBeenCalledWith('y');
    expect(await ask({ action: 'replace', cell: 'b', text: 'y' })).toBe(false);
    expect(cells[1].model.sharedModel.setSource).not.toHaveBeenCalled();
  });

  it.each(['insert', 'replace'])(
    'can not %s where the cell is gone',
    async action => {
      const { ask, insertCell } = setUp();
      expect(await ask({ action, cell: 'gone', text: 'y' })).toBe(false);
      expect(await ask({ action, text: 'y' })).toBe(false);
      expect(insertCell).not.toHaveBeenCalled();
    }
  );

  it('copies', async () => {
    const { ask } = setUp();
    expect(await ask({ action: 'copy', text: 'y' })).toBe(true);
    expect(copyToSystem).toHaveBeenCalledWith('y');
  });

  it.each([true, false])('sets suggestions to %s', async value => {
    const { ask, settings } = setUp();
    expect(await ask({ action: 'automatic', value })).toBe(true);
    expect(settings.set).toHaveBeenCalledWith('automatic', value);
  });

  it('does nothing that it does not know', async () => {
    expect(await setUp().ask({ action: 'run', cell: 'a' })).toBe(false);
  });
});

describe('answerKernels', () => {
  it('answers the kernels of all notebooks, new ones too', async () => {
    const { kernel, notebooks, panel, settings } = setUp();
    answerKernels(notebooks as never, settings as never);
    expect(kernel.registerCommTarget).toHaveBeenCalledTimes(1);
    panel.sessionContext.kernelChanged.emit();
    expect(kernel.registerCommTarget).toHaveBeenCalledTimes(2);
    const later = {
      ...panel,
      sessionContext: { ...panel.sessionContext, session: null }
    };
    notebooks.widgetAdded.emit(later);
    expect(kernel.registerCommTarget).toHaveBeenCalledTimes(2);
    const comm = { close: jest.fn() };
    const [name, answer] = kernel.registerCommTarget.mock.calls[0] as [
      string,
      (comm: object, message: object) => Promise<void>
    ];
    expect(name).toBe('santajupyter');
    await answer(comm, { content: { data: { action: 'hello' } } });
    expect(comm.close).toHaveBeenCalledWith({ done: true });
  });
});
