import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { IInlineCompleterFactory } from '@jupyterlab/completer';
import { InlineCompleter } from '@jupyterlab/completer/lib/inline';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { Ghosts } from '../../jupyterlab/ghosts';
import { watchBlankLines } from '../../jupyterlab/blanklines';
import { Completers, isOthersChange } from '../../jupyterlab/internals';

// JupyterLab's own completer, without what draws it.
jest.mock('@lumino/dragdrop', () => ({ Drag: class {} }));
jest.mock('@jupyterlab/completer/lib/ghost', () => ({
  GhostTextManager: class {
    placeGhost() {}
    clearGhosts() {}
  }
}));
jest.mock('@jupyterlab/ui-components', () => ({
  HoverBox: { setGeometry() {} },
  kernelIcon: { render() {} },
  Toolbar: jest.requireActual('@lumino/widgets').Panel
}));
jest.mock('@jupyterlab/completer', () => ({
  InlineCompletionTriggerKind: { Invoke: 0, Automatic: 1 },
  ProviderReconciliator: class {}
}));
jest.mock('../../document/context', () => ({
  placeIn: () => ({ editor: 'e', prefix: '', suffix: '' })
}));

const START = { line: 0, column: 0 };

/** JupyterLab's completer with a suggestion of another provider, and what the editor is told to do. */
function makeCompleter() {
  const model = new InlineCompleter.Model();
  const dispatch = jest.fn();
  const editor = {
    host: document.createElement('div'),
    isDisposed: false,
    hasFocus: () => true,
    getCursorPosition: () => START,
    getOffsetAt: () => 0,
    getSelection: () => ({ start: START, end: START }),
    getSelections: () => [{ start: START, end: START }],
    getLine: () => '',
    model: { sharedModel: {} },
    editor: { dispatch }
  };
  const completer = new InlineCompleter({
    model,
    trans: { __: (text: string) => text } as never
  });
  completer.editor = editor as unknown as CodeEditor.IEditor;
  model.cursor = START;
  return {
    completer,
    dispatch,
    editor: editor as unknown as CodeEditor.IEditor,
    model
  };
}

function suggest(model: InlineCompleter.Model, ...texts: string[]): void {
  const items = texts.map(insertText => ({
    insertText,
    streaming: false,
    provider: { name: 'another', identifier: 'another' },
    stream: new Signal({})
  }));
  model.setCompletions({ items: items as never });
}

/** JupyterLab's factory, with all of ours at work in what it makes. */
function setUp(made: ReturnType<typeof makeCompleter>) {
  const factory = {
    factory: () => made.completer
  } as unknown as IInlineCompleterFactory;
  const completers = new Completers(factory);
  const ghosts = new Ghosts(completers);
  watchBlankLines(completers, {
    suggest: () => undefined,
    isWanted: () => true,
    delay: () => 0,
    knows: () => false
  });
  completers.made.connect((_, completer) =>
    completer.addButton('ours', new Widget())
  );
  return { factory, ghosts };
}

const USED = [
  'completer.accept',
  'completer.cycle',
  'completer.current',
  'completer.editor',
  'completer.isActive',
  'completer.model',
  'completer.toolbar',
  'completer.disposed',
  'model.appendCompletions',
  'model.completions',
  'model.cursor',
  'model.handleSelectionChange',
  'model.handleTextChange',
  'model.notifyProgress',
  'model.reset',
  'model.setCompletions',
  'model.suggestionsChanged'
];
/** What JupyterLab itself needs to accept a suggestion. */
const NEEDED =
  /completer.(accept|current|editor|model)|model.(completions|cursor|reset|setCompletions|suggestionsChanged)/;

/** Takes from JupyterLab what it has today. */
function change(
  made: ReturnType<typeof makeCompleter>,
  name: string,
  value: PropertyDescriptor
): void {
  const [owner, property] = name.split('.');
  const object = owner === 'model' ? made.model : made.completer;
  Object.defineProperty(object, property, { configurable: true, ...value });
}

describe.each([
  ['is gone', { value: undefined, writable: true }],
  [
    'fails',
    {
      get: () => {
        throw new Error('it is otherwise now');
      }
    }
  ]
] as [string, PropertyDescriptor][])(
  'where something of JupyterLab %s',
  (_, value) => {
    beforeEach(() => {
      jest.spyOn(console, 'warn').mockImplementation(() => undefined);
    });
    afterEach(() => jest.restoreAllMocks());

    it.each(USED)('the completer is made: %s', name => {
      const made = makeCompleter();
      change(made, name, value);
      expect(setUp(made).factory.factory({})).toBe(made.completer);
    });

    it.each(USED)('providers go on: %s', name => {
      const made = makeCompleter();
      change(made, name, value);
      const { factory, ghosts } = setUp(made);
      factory.factory({});
      expect(() => ghosts.tidy(made.editor)).not.toThrow();
      expect(() => ghosts.dismiss(made.editor)).not.toThrow();
      expect(() => ghosts.accept(made.editor, 'word')).not.toThrow();
    });

    it.each(USED.filter(name => !NEEDED.test(name)))(
      'suggestions of others are accepted: %s',
      name => {
        const made = makeCompleter();
        change(made, name, value);
        setUp(made).factory.factory({});
        suggest(made.model, 'one', 'two');
        made.completer.accept();
        expect(made.dispatch).toHaveBeenCalledWith(
          expect.objectContaining({
            changes: { from: 0, to: 0, insert: 'one' }
          })
        );
      }
    );
  }
);

describe('isOthersChange', () => {
  /** A cell's text in a document of Yjs, and how something of that is changed. */
  function cell() {
    const doc = { on: jest.fn() };
    const ysource = { doc };
    const editor = { model: { sharedModel: { ysource } } };
    const isOthers = () =>
      isOthersChange(editor as unknown as CodeEditor.IEditor);
    isOthers();
    const [[, listener]] = doc.on.mock.calls;
    const change = (type: object, origin: object | null) =>
      listener({ origin, changed: new Map([[type, null]]) });
    return { ysource, isOthers, change };
  }

  it('knows who typed, also once the document is marked as changed', () => {
    const { ysource, isOthers, change } = cell();
    const state = {};
    change(ysource, { ytext: ysource });
    change(state, null);
    expect(isOthers()).toBe(false);
    change(ysource, { undoStack: [] });
    expect(isOthers()).toBe(false);
    change(ysource, null);
    change(state, { ytext: ysource });
    expect(isOthers()).toBe(true);
  });

  it('is about this text, and for now', async () => {
    const { ysource, isOthers, change } = cell();
    change({}, null);
    expect(isOthers()).toBe(false);
    change(ysource, null);
    expect(isOthers()).toBe(true);
    await new Promise(resolve => setTimeout(resolve, 0));
    expect(isOthers()).toBe(false);
  });
});
