import { NotebookPanel } from '@jupyterlab/notebook';
import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { IKernelFacts, INotebookContext } from '../../server/protocol';
import { KernelFacts } from '../../document/kernelfacts';

jest.mock('@jupyterlab/notebook', () => ({ NotebookPanel: class {} }));
jest.mock('@jupyterlab/console', () => ({ ConsolePanel: class {} }));
jest.mock(
  '../../../santajupyter/kernel/kernelfacts.py',
  () => 'def read(): "\\n"'
);
jest.mock(
  '../../../santajupyter/kernel/databases.py',
  () => 'def databases(): "\\n"'
);
jest.mock('../../../santajupyter/kernel/rfacts.R', () => '# R');
jest.mock('../../document/context', () => ({
  currentRequest: () => ({}),
  hasCounts: () => mockCells.haveCounts,
  sessionContext: (widget: NotebookPanel) => widget.sessionContext,
  notebookContext: (widget: Widget) => at(mockCells.code.get(widget) ?? '')
}));

/** What the notebook's cells say: whether some ran, and the code around each view's cursor. */
const mockCells = { haveCounts: true, code: new Map<Widget, string>() };
const CODE = 'df["sex"].mean()';

const FACTS: IKernelFacts & { partial?: boolean } = {
  variables: [
    { name: 'df', type: 'DataFrame', module: 'pandas' },
    { name: 'größe', type: 'int', module: 'builtins' },
    { name: 'far', type: 'int', module: 'builtins' }
  ],
  classes: { 'pandas.DataFrame': ["it's", 'a\\b'], 'x.Other': [] },
  names: ['df', 'größe', 'far'],
  modules: ['numpy', 'os']
};

/** As Python's `repr` spells a text: with single quotes, what ends them and backslashes escaped. */
function repr(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

/** A notebook with a kernel whose answers are given by hand. */
function setUp(language = 'python') {
  const asked: { code: string; facts: string }[] = [];
  const answers: ((facts: object) => void)[] = [];
  const kernel = {
    status: 'idle',
    iopubMessage: new Signal<object, object>({}),
    statusChanged: new Signal<object, string>({}),
    info: Promise.resolve({ language_info: { name: language } }),
    requestExecute: jest.fn(({ code, user_expressions }) => {
      asked.push({ code, ...user_expressions });
      let fail: (error: Error) => void;
      const done = new Promise((resolve, reject) => {
        fail = reject;
        answers.push(facts =>
          resolve({ content: { status: 'ok', user_expressions: { facts } } })
        );
      });
      return { done, dispose: () => fail(new Error('Canceled')) };
    })
  };
  const open = (code: string) => {
    const view = Object.assign(Object.create(NotebookPanel.prototype), {
      sessionContext: { session: { kernel } },
      disposed: new Signal<object, void>({})
    }) as Widget & { disposed: Signal<object, void> };
    mockCells.code.set(view, code);
    return view;
  };
  const widget = open(CODE);
  const settings = { choices: { kernelFacts: true, kernelValues: false } };
  const facts = new KernelFacts(settings as never);
  const about = (code = 'df.größe = 1') => facts.about(widget, at(code));
  const become = (status: string) => {
    kernel.status = status;
    kernel.statusChanged.emit(status);
  };
  const ran = (msg_type = 'execute_input') => {
    become('busy');
    kernel.iopubMessage.emit({ header: { msg_type } });
    become('idle');
  };
  const answer = async (read = FACTS) => {
    const text = repr(JSON.stringify(read));
    answers.pop()?.({ status: 'ok', data: { 'text/plain': text } });
    await rest(0);
  };
  return {
    about,
    answer,
    asked,
    become,
    facts,
    kernel,
    open,
    ran,
    settings,
    widget
  };
}

function at(source: string, ...above: string[]): INotebookContext {
  const cells = [...above, source].map(text => ({
    type: 'code' as const,
    source: text
  }));
  const active = above.length;
  return { cells, active, offset: 0, language: 'python', path: '' };
}

const rest = (time = 1000) => jest.advanceTimersByTimeAsync(time);

describe('KernelFacts', () => {
  beforeEach(() => {
    jest.useFakeTimers();
    mockCells.haveCounts = true;
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('reads silently, and tells what the code names', async () => {
    const { about, answer, asked, kernel } = setUp();
    expect(about()).toEqual({});
    await rest();
    expect(kernel.requestExecute).toHaveBeenCalledWith({
      code: '',
      silent: true,
      store_history: false,
      user_expressions: { facts: expect.any(String) },
      allow_stdin: false,
      stop_on_error: false
    });
    expect(asked[0].facts).toContain(JSON.stringify('def read(): "\\n"'));
    expect(asked[0].facts).toContain('["mean","sex","df"]');
    await answer();
    expect(about()).toEqual({
      variables: FACTS.variables.slice(0, 2),
      classes: { 'pandas.DataFrame': ["it's", 'a\\b'] },
      names: FACTS.names,
      modules: FACTS.modules
    });
    expect(about('nothing')).toEqual({
      variables: [],
      classes: {},
      names: FACTS.names,
      modules: FACTS.modules
    });
    expect(asked.length).toBe(1);
  });

  it('reads again after a run, once the kernel rests', async () => {
    const { about, answer, asked, become, ran } = setUp();
    about();
    await rest();
    await answer();
    ran();
    become('busy');
    await rest();
    expect(asked.length).toBe(1);
    become('idle');
    await rest();
    expect(asked.length).toBe(2);
    expect(about()).toHaveProperty('variables');
    await answer({ variables: [], classes: {}, names: [] });
    expect(about()).toEqual({});
  });

  it('is not set off by what is silent, such as itself', async () => {
    const { about, answer, asked, ran } = setUp();
    about();
    await rest();
    await answer();
    ran('stream');
    await rest();
    expect(asked.length).toBe(1);
  });

  it('says when nothing more is under way', async () => {
    const { answer, facts, widget } = setUp();
    const settled = jest.fn();
    void facts.settled(widget).then(settled);
    await rest();
    expect(settled).not.toHaveBeenCalled();
    await answer();
    expect(settled).toHaveBeenCalled();
  });

  it('forgets a kernel that was restarted, and reads it after its first run', async () => {
    const { about, answer, asked, become, ran } = setUp();
    about();
    await rest();
    await answer();
    become('restarting');
    expect(about()).toEqual({});
    become('idle');
    about();
    await rest();
    expect(asked.length).toBe(1);
    ran();
    await rest();
    expect(asked.length).toBe(2);
  });

  it('asks a kernel nothing in which no cell can have run', async () => {
    mockCells.haveCounts = false;
    const { about, answer, asked, facts, ran, widget } = setUp();
    about();
    await facts.settled(widget);
    await rest();
    expect(asked.length).toBe(0);
    ran();
    await rest();
    await answer();
    expect(asked[0].facts).toContain('own["read"]');
    expect(about()).toHaveProperty('variables');
  });

  it.each([
    ['a cell has a count', 'idle'],
    ['the kernel works', 'busy']
  ])(
    'has a kernel that was in use look whether something ran, where %s',
    async (_, status) => {
      mockCells.haveCounts = status === 'idle';
      const { about, answer, asked, become } = setUp();
      become(status);
      about();
      become('idle');
      await rest();
      await answer();
      expect(asked[0].facts).toContain('own["read_if_used"]');
      expect(about()).toHaveProperty('variables');
    }
  );

  it('goes by the view that the user is in, as long as it is open', async () => {
    const { answer, asked, facts, open, ran, widget } = setUp();
    const other = open('far.real');
    for (const view of [widget, other]) {
      facts.about(view, at(''));
    }
    await rest();
    await answer();
    expect(asked[0].facts).toContain('["real","far"]');
    facts.about(widget, at(''));
    ran();
    await rest();
    await answer();
    expect(asked[1].facts).toContain('["mean","sex","df"]');
    widget.disposed.emit();
    ran();
    await rest();
    await answer();
    expect(asked[2].facts).toContain(', [], 0)');
  });

  it('reads names where the user comes to rest, if there are more than were read', async () => {
    const { answer, asked, facts, widget } = setUp();
    const rested = async (code: string) => {
      mockCells.code.set(widget, code);
      void facts.settled(widget);
      await rest();
    };
    await rested('df');
    await answer({ ...FACTS, partial: true });
    await rested('df');
    expect(asked.length).toBe(1);
    await rested('later');
    expect(asked.length).toBe(2);
    expect(asked[1].facts).toContain('["later"]');
    await answer({ ...FACTS, partial: false });
    await rested('another');
    expect(asked.length).toBe(2);
  });

  it('gives up a kernel that does not answer', async () => {
    const { about, asked, facts, widget } = setUp();
    about();
    await rest(5000);
    await facts.settled(widget);
    expect(about()).toEqual({});
    expect(asked.length).toBe(1);
  });

  it('asks no kernel of another language, and none when it may not', async () => {
    const other = setUp('julia');
    other.about();
    const off = setUp();
    off.settings.choices.kernelFacts = false;
    off.about();
    await rest();
    expect([other.asked, off.asked]).toEqual([[], []]);
    off.settings.choices.kernelFacts = true;
    off.about();
    await rest();
    await off.answer();
    expect(off.about()).toHaveProperty('variables');
    off.settings.choices.kernelFacts = false;
    expect(off.about()).toEqual({});
    off.ran();
    await rest();
    expect(off.asked.length).toBe(1);
  });

  it('has values only while the user lets them be read', async () => {
    const { about, answer, asked, settings } = setUp();
    const values = [['sex', ["'f'", "'m'"]]];
    const told = { ...FACTS, variables: [{ ...FACTS.variables[0], values }] };
    const code = 'df["sex"] == ';
    about(code);
    await rest();
    await answer();
    expect(asked[0].facts).toMatch(/, 0\)/);
    settings.choices.kernelValues = true;
    about(code);
    await rest();
    await answer(told);
    expect(asked[1].facts).toMatch(/, 1\)/);
    expect(about(code).variables).toEqual(told.variables);
    settings.choices.kernelValues = false;
    expect(JSON.stringify(about(code))).not.toContain('values');
    await rest();
    expect(asked.length).toBe(3);
  });
});
