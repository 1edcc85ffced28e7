import type { Cell } from '@jupyterlab/cells';
import type { KernelMessage } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { answerKernels } from '../../commands/bridge';

const copy = jest.fn();
// What is under it needs more of a browser than Jest has.
jest.mock('../../commands/clipboard', () => ({
  copy: (text: string) => copy(text)
}));

type Told = Record<string, unknown>;

/** A kernel, whose answers are those of all its connections. */
function kernelOf(id: string) {
  return { id, answers: [] as Told[] };
}

type Kernel = ReturnType<typeof kernelOf>;

/** A panel with a connection of its own to the kernel. */
function panelOf(kernel: Kernel, clientId: string, cells = ['a', 'b']) {
  const widgets = cells.map(cell => ({
    model: {
      id: cell,
      type: 'code',
      executionState: 'idle',
      executionCount: null as number | null,
      getMetadata: (key: string) => (key === 'editable' ? cell !== 'b' : null),
      sharedModel: {
        setSource: jest.fn(),
        getSource: () => `text of ${cell[0]}`
      }
    }
  }));
  const model = {
    cells: widgets.map(widget => widget.model),
    sharedModel: { insertCell: jest.fn() }
  };
  const connection = {
    id: kernel.id,
    clientId,
    username: '',
    isDisposed: false,
    status: 'idle',
    sendShellMessage: ({ content }: { content: { data: Told } }) =>
      kernel.answers.push(content.data)
  };
  return {
    model,
    content: { widgets, model },
    sessionContext: {
      session: { kernel: connection },
      iopubMessage: new Signal<object, KernelMessage.IMessage>({})
    }
  };
}

type Panel = ReturnType<typeof panelOf>;
type Cells = Panel['model']['cells'];

/** A page with these notebooks. */
function pageOf(panels: Panel[], consoles: Panel[] = []) {
  const tracker = (widgets: Panel[]) => ({
    currentWidget: null as Panel | null,
    filter: (wanted: (panel: Panel) => boolean) => widgets.filter(wanted),
    find: (wanted: (panel: Panel) => boolean) => widgets.find(wanted),
    forEach: (visit: (panel: Panel) => void) => widgets.forEach(visit),
    widgetAdded: new Signal<object, Panel>({})
  });
  const notebooks = tracker(panels);
  const settings = { set: jest.fn().mockResolvedValue(undefined) };
  const runs = new Signal<object, { cell: Cell }>({});
  answerKernels({
    notebooks: notebooks as never,
    consoles: tracker(consoles) as never,
    runs,
    settings
  });
  /** As its user's run of the notebook's cell. */
  const run = (panel: Panel, index: number) =>
    runs.emit({ cell: panel.content.widgets[index] as never });
  return { notebooks, settings, run };
}

let requests = 0;

/** What the kernel sends to all of its connections; `session` sent what led to it. */
async function send(
  panels: Panel[],
  session: string,
  request: Told,
  id = `request-${++requests}`
): Promise<string> {
  const message = {
    header: { msg_type: 'comm_msg' },
    parent_header: { session },
    channel: 'iopub',
    content: { comm_id: 'santajupyter-comm', data: { id, ...request } }
  };
  for (const { sessionContext } of panels) {
    sessionContext.iopubMessage.emit(message as never);
  }
  await jest.advanceTimersByTimeAsync(0);
  return id;
}

const inserted = ({ model }: Panel) =>
  model.sharedModel.insertCell.mock.calls.length;

describe('answerKernels', () => {
  beforeEach(() => {
    jest.useFakeTimers();
    jest.clearAllMocks();
  });
  afterEach(() => jest.useRealTimers());

  const kernel = kernelOf('kernel');
  const setUp = () => {
    kernel.answers = [];
    const panel = panelOf(kernel, 'me');
    return { panel, ...pageOf([panel]) };
  };

  it('says that it is there', async () => {
    const { panel } = setUp();
    const id = await send([panel], 'me', { action: 'hello' });
    expect(kernel.answers).toEqual([{ id, done: true }]);
  });

  it('inserts a cell below the one that was run', async () => {
    const { panel } = setUp();
    await send([panel], 'me', { action: 'insert', cell: 'a', text: 'x = 1' });
    expect(panel.model.sharedModel.insertCell).toHaveBeenCalledWith(1, {
      cell_type: 'code',
      source: 'x = 1'
    });
  });

  it('replaces a cell that may be edited', async () => {
    const { panel } = setUp();
    const [a, b] = panel.content.widgets.map(cell => cell.model.sharedModel);
    await send([panel], 'me', { action: 'replace', cell: 'a', text: 'y' });
    expect(a.setSource).toHaveBeenCalledWith('y');
    await send([panel], 'me', { action: 'replace', cell: 'b', text: 'y' });
    expect(b.setSource).not.toHaveBeenCalled();
    expect(kernel.answers.map(({ done }) => done)).toEqual([true, false]);
  });

  it.each(['insert', 'replace'])(
    'can not %s where the cell is gone',
    async action => {
      const { panel } = setUp();
      await send([panel], 'me', { action, cell: 'gone', text: 'y' });
      await send([panel], 'me', { action, cell: '', text: 'y' });
      expect(kernel.answers.map(({ done }) => done)).toEqual([false, false]);
      expect(inserted(panel)).toBe(0);
    }
  );

  it.each([true, false])('says whether it copied: %s', async copied => {
    const { panel } = setUp();
    copy.mockResolvedValue(copied);
    const id = await send([panel], 'me', { action: 'copy', text: 'y' });
    expect(copy).toHaveBeenCalledWith('y');
    expect(kernel.answers).toEqual([{ id, done: copied }]);
  });

  it.each([true, false])('sets suggestions to %s', async value => {
    const { panel, settings } = setUp();
    await send([panel], 'me', { action: 'automatic', value });
    expect(settings.set).toHaveBeenCalledWith('automatic', value);
  });

  it('does nothing that it does not know', async () => {
    const { panel } = setUp();
    const id = await send([panel], 'me', { action: 'run', cell: 'a' });
    expect(kernel.answers).toEqual([{ id, done: false }]);
  });

  it('hears notebooks that are opened later', async () => {
    const { notebooks } = setUp();
    const later = panelOf(kernel, 'me');
    notebooks.widgetAdded.emit(later);
    await send([later], 'me', { action: 'hello' });
    expect(kernel.answers).toHaveLength(1);
  });

  it('acts on the notebook of the kernel, not on its copy', async () => {
    const copied = panelOf(kernelOf('another'), 'other');
    const panel = panelOf(kernel, 'me');
    pageOf([copied, panel]);
    await send([panel], 'me', { action: 'insert', cell: 'a' });
    expect([copied, panel].map(inserted)).toEqual([0, 1]);
  });

  it('acts on the notebook that ran the cell where two share the kernel', async () => {
    const panels = [panelOf(kernel, 'first'), panelOf(kernel, 'second')];
    pageOf(panels);
    // The widgets of both talk through the first one's connection.
    const request = { action: 'insert', cell: 'a', client: 'second' };
    await send(panels, 'first', request);
    expect(panels.map(inserted)).toEqual([0, 1]);
  });

  it('acts on the notebook that the user is in once the page was reloaded', async () => {
    const panels = [panelOf(kernel, 'first'), panelOf(kernel, 'second')];
    const { notebooks } = pageOf(panels);
    notebooks.currentWidget = panels[1];
    const request = { action: 'insert', cell: 'a', client: 'before' };
    await send(panels, 'first', request);
    expect(panels.map(inserted)).toEqual([0, 1]);
  });

  it('acts for a console that the widgets talk through', async () => {
    const panel = panelOf(kernel, 'me');
    pageOf([panel], [panelOf(kernel, 'console', [])]);
    await send([panel], 'console', { action: 'insert', cell: 'a' });
    expect(inserted(panel)).toBe(1);
  });

  it('passes over what other comms say', async () => {
    const { panel } = setUp();
    panel.sessionContext.iopubMessage.emit({
      header: { msg_type: 'comm_msg' },
      parent_header: { session: 'me' },
      channel: 'iopub',
      content: { comm_id: 'a widget', data: { id: '1', action: 'hello' } }
    } as never);
    await jest.runAllTimersAsync();
    expect(kernel.answers).toEqual([]);
  });

  describe('where the server runs the cells', () => {
    const run = { action: 'locate', code: 'text of a', count: 3 };
    const setUpTwice = () => {
      kernel.answers = [];
      const panel = panelOf(kernel, 'me', ['a1', 'b', 'a2']);
      return { panel, cells: panel.model.cells, ...pageOf([panel]) };
    };

    it('says at once that it is there', async () => {
      const { panel } = setUp();
      const id = await send([panel], 'the server', { action: 'hello' });
      expect(kernel.answers).toEqual([{ id, done: true }]);
    });

    it('names the cell that it has run, and the notebook', async () => {
      const { panel, run: runCell } = setUpTwice();
      runCell(panel, 2);
      const id = await send([panel], 'the server', run);
      const told = { id, done: true, cell: 'a2', client: 'me' };
      expect(kernel.answers).toEqual([told]);
    });

    it.each<[string, Partial<typeof run>, (cells: Cells) => unknown]>([
      ['by its text', { code: 'text of b' }, () => 0],
      ['that runs', {}, cells => (cells[2].executionState = 'running')],
      ['with the number', {}, cells => (cells[2].executionCount = 3)]
    ])('finds one that it has not run %s', async (_, change, prepare) => {
      const { panel, cells } = setUpTwice();
      prepare(cells);
      const id = await send([panel], 'the server', { ...run, ...change });
      // The page that has run it goes first.
      expect(kernel.answers).toEqual([]);
      await jest.runAllTimersAsync();
      const cell = change.code ? 'b' : 'a2';
      expect(kernel.answers).toMatchObject([{ id, done: true, cell }]);
    });

    it('says nothing of a cell that it does not have', async () => {
      const { panel } = setUp();
      await send([panel], 'the server', { ...run, code: 'another' });
      await jest.runAllTimersAsync();
      expect(kernel.answers).toEqual([]);
    });
  });

  describe('with a second page', () => {
    const setUpTwo = () => {
      kernel.answers = [];
      const panels = [panelOf(kernel, 'mine'), panelOf(kernel, 'theirs')];
      panels.forEach(panel => pageOf([panel]));
      return panels;
    };

    it('leaves it to the page that asked', async () => {
      const panels = setUpTwo();
      const request = { action: 'insert', cell: 'a' };
      const id = await send(panels, 'theirs', request);
      expect(panels.map(inserted)).toEqual([0, 1]);
      await jest.runAllTimersAsync();
      // The kernel, which has its answer, passes over the offer.
      const [first, second] = kernel.answers;
      expect(first).toEqual({ id, done: true });
      expect(second).toMatchObject({ id, offer: expect.anything() });
      expect(panels.map(inserted)).toEqual([0, 1]);
    });

    it('does it once where the page that asked is gone', async () => {
      const panels = setUpTwo();
      const request = { action: 'insert', cell: 'a' };
      const id = await send(panels, 'gone', request);
      expect(kernel.answers).toEqual([]);
      await jest.runAllTimersAsync();
      const offers = kernel.answers.splice(0).map(({ offer }) => offer);
      expect(new Set(offers).size).toBe(2);
      expect(panels.map(inserted)).toEqual([0, 0]);
      await send(panels, 'gone', { granted: offers[1] }, id);
      await send(panels, 'gone', { granted: offers[1] }, id);
      expect(panels.map(inserted)).toEqual([0, 1]);
      expect(kernel.answers).toEqual([{ id, done: true }]);
    });

    it('offers only what it can do', async () => {
      const panels = setUpTwo();
      await send(panels, 'gone', { action: 'replace', cell: 'gone' });
      await send(panels, 'gone', { action: 'copy', text: 'y' });
      await send(panels, 'gone', { action: 'automatic', value: false });
      await jest.runAllTimersAsync();
      expect(kernel.answers).toEqual([]);
    });

    describe('that has its cells run by the server', () => {
      const off = { action: 'automatic', value: false, code: 'text of a' };
      const setUpRuns = () => {
        kernel.answers = [];
        return ['mine', 'theirs'].map(name => {
          const panel = panelOf(kernel, name);
          return { panel, ...pageOf([panel]) };
        });
      };
      type Page = ReturnType<typeof setUpRuns>[number];

      async function ask(pages: Page[], count: number) {
        const panels = pages.map(({ panel }) => panel);
        await send(panels, 'the server', { ...off, count });
        await jest.runAllTimersAsync();
        return pages.map(({ settings }) => settings.set.mock.calls.length);
      }

      it('switches the page that ran the cell', async () => {
        const pages = setUpRuns();
        pages[1].run(pages[1].panel, 0);
        expect(await ask(pages, 3)).toEqual([0, 1]);
      });

      it('switches none that did not run it', async () => {
        expect(await ask(setUpRuns(), 3)).toEqual([0, 0]);
      });

      it('switches each once where both ran it', async () => {
        const pages = setUpRuns();
        pages.forEach(({ panel, run }) => run(panel, 0));
        expect(await ask(pages, 3)).toEqual([1, 1]);
        expect(await ask(pages, 4)).toEqual([1, 1]);
      });

      it('switches none whose own run is over', async () => {
        const pages = setUpRuns();
        pages[0].run(pages[0].panel, 0);
        // That one failed, before the magics were loaded.
        for (const { panel } of pages) {
          panel.model.cells[0].executionCount = 3;
        }
        pages[1].run(pages[1].panel, 0);
        expect(await ask(pages, 4)).toEqual([0, 1]);
      });
    });
  });
});
