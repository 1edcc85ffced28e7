import type {
  CompletionHandler,
  IInlineCompleterFactory,
  InlineCompleter
} from '@jupyterlab/completer';
import { Signal } from '@lumino/signaling';

import type { IPlace } from '../../document/types';
import {
  PROVIDER_ID,
  Ghosts,
  type IAccepted,
  type ISuggestion
} from '../../jupyterlab/ghosts';
import { Completers } from '../../jupyterlab/internals';

jest.mock('@jupyterlab/completer', () => ({
  InlineCompletionTriggerKind: { Invoke: 0, Automatic: 1 },
  ProviderReconciliator: class {}
}));
jest.mock('../../document/context', () => ({
  placeIn: ({ text }: { text: string }) => ({ prefix: text, suffix: '' })
}));

interface IChange {
  changes?: { from: number; insert: string };
  insert?: string;
}
type Item = CompletionHandler.IInlineItem;

const item = (insertText: string, suggestion?: ISuggestion) =>
  ({
    insertText,
    provider: { identifier: suggestion ? PROVIDER_ID : 'another' },
    ...(suggestion && { suggestion })
  }) as unknown as Item;

/** One that was made for an empty cell. */
const saying = (text: string, imports: string[] = []): ISuggestion => {
  let origin = '';
  return {
    asked: null,
    imports,
    follow: ({ prefix }: IPlace) => {
      origin = prefix;
      return true;
    },
    goTo: ({ prefix }: IPlace) => {
      origin = prefix;
    },
    rest: ({ prefix }: IPlace) =>
      prefix.startsWith(origin) && text.startsWith(prefix.slice(origin.length))
        ? text.slice(prefix.length - origin.length)
        : null
  };
};

/** A completer that works like JupyterLab's as far as it is used, in an editor that keeps its text. */
function setUp() {
  const stopCapturing = jest.fn();
  const editor = {
    text: '',
    host: document.createElement('div'),
    focus: jest.fn(),
    hasFocus: () => true,
    isLocked: false,
    getOption: () => editor.isLocked,
    getCursorPosition: () => ({ line: 0, column: editor.text.length }),
    model: { sharedModel: { undoManager: { stopCapturing } } },
    editor: {
      state: { replaceSelection: (insert: string) => ({ insert }) },
      dispatch: (...changes: IChange[]) => {
        for (const { changes: above, insert = '' } of changes) {
          editor.text = (above?.insert ?? '') + editor.text + insert;
        }
      }
    }
  };
  const model = {
    setCompletions: (list: { items: Item[] }) => {
      model.completions = list;
    },
    suggestionsChanged: new Signal<object, void>({}),
    completions: null as { items: Item[] } | null,
    cursor: { line: 0, column: 0 },
    handleSelectionChange: () => undefined,
    handleTextChange: jest.fn<undefined, [object]>(),
    notifyProgress: () => undefined,
    reset: jest.fn(() => {
      model.completions = null;
    }),
    appendCompletions: ({ items }: { items: Item[] }) => {
      model.completions?.items.push(...items);
    }
  };
  let at = 0;
  const completer = {
    editor,
    model,
    isActive: true,
    disposed: new Signal({}),
    get current() {
      return model.completions?.items[at] ?? null;
    },
    accept: () => {
      editor.text += completer.current?.insertText;
      model.reset();
    },
    cycle: (direction: string) => {
      const { length } = model.completions?.items ?? [];
      at = (at + (direction === 'next' ? 1 : -1) + length) % length;
    }
  };
  const factory = {
    factory: () => completer as unknown as InlineCompleter
  } as IInlineCompleterFactory;
  const ghosts = new Ghosts(new Completers(factory));
  factory.factory({});
  const shown: string[] = [];
  const accepted: IAccepted[] = [];
  ghosts.shown.connect((_, { insertText }) => shown.push(insertText));
  ghosts.accepted.connect((_, what) => accepted.push(what));
  const show = (...items: Item[]) => {
    model.completions = { items };
    model.cursor.column = editor.text.length;
    model.suggestionsChanged.emit();
  };
  return {
    accepted,
    completer,
    editor,
    ghosts,
    model,
    show,
    shown,
    stopCapturing
  };
}

const noteOf = ({ host }: { host: HTMLElement }) =>
  host.style.getPropertyValue('--santa-imports');

const settled = () => new Promise(resolve => setTimeout(resolve, 0));

describe('Ghosts', () => {
  it('tells of a suggestion once, and not of another provider’s', () => {
    const { show, shown } = setUp();
    const suggestion = saying('one two');
    show(item('one two', suggestion));
    show(item(' two', suggestion));
    show(item('history'));
    show(item('three', saying('three')));
    expect(shown).toEqual(['one two', 'three']);
  });

  it('tells what was accepted, whoever accepted it', () => {
    const { accepted, completer, editor, ghosts, show } = setUp();
    show(item('one two', saying('one two')));
    ghosts.accept(editor as never, 'word');
    show(item(' two', saying('one two')));
    completer.accept();
    show(item('history'));
    completer.accept();
    expect(editor.text).toBe('one twohistory');
    expect(accepted).toEqual([
      { text: 'one', part: 'word' },
      { text: ' two', part: 'whole' }
    ]);
  });

  it('tells that a suggestion has gone, where it does not come back at once', () => {
    jest.useFakeTimers();
    const { editor, ghosts, model, show } = setUp();
    const gone: [string, number][] = [];
    ghosts.gone.connect((_, { ghost, milliseconds }) =>
      gone.push([ghost.insertText, milliseconds])
    );
    const suggestion = saying('one two');
    const reset = () => {
      model.reset();
      model.suggestionsChanged.emit();
    };
    show(item('one two', suggestion));
    jest.advanceTimersByTime(1000);
    editor.text = 'one';
    reset();
    jest.advanceTimersByTime(100);
    show(item(' two', suggestion));
    jest.advanceTimersByTime(1000);
    expect(gone).toEqual([]);
    reset();
    jest.advanceTimersByTime(1000);
    expect(gone).toEqual([[' two', 2100]]);
    editor.text = '';
    show(item('three', saying('three')));
    show(item('history'));
    show(item('four', saying('four')));
    expect(gone.slice(1)).toEqual([['three', 0]]);
    jest.useRealTimers();
  });

  it('lets undo take back what was accepted, and only that', () => {
    const { completer, editor, ghosts, show, stopCapturing } = setUp();
    show(item('one two', saying('one two')));
    ghosts.accept(editor as never, 'line');
    expect(stopCapturing).toHaveBeenCalledTimes(2);
    show(item(' three', saying('one two three')));
    completer.accept();
    expect(stopCapturing).toHaveBeenCalledTimes(4);
  });

  it.each(['word', 'line', 'whole'] as const)(
    'puts in the imports with the %s that names them',
    part => {
      const { accepted, completer, editor, ghosts, show, stopCapturing } =
        setUp();
      const suggestion = saying('np.ones(3)', ['import numpy as np']);
      show(item('np.ones(3)', suggestion));
      expect(ghosts.imports(editor as never)).toEqual(['import numpy as np']);
      expect(noteOf(editor)).toBe('"⊕ import numpy as np"');
      if (part === 'whole') {
        completer.accept();
      } else {
        ghosts.accept(editor as never, part);
      }
      const text = part === 'word' ? 'np' : 'np.ones(3)';
      expect(editor.text).toBe(`import numpy as np\n${text}`);
      expect(accepted).toEqual([{ text, part }]);
      expect(stopCapturing).toHaveBeenCalledTimes(2);
      const prefix = editor.text;
      expect(suggestion.rest({ editor: '', prefix, suffix: '' })).toBe(
        'np.ones(3)'.slice(text.length)
      );
    }
  );

  it('puts in no imports before their name, and none twice', () => {
    const { editor, ghosts, show } = setUp();
    const suggestion = saying('x = np.e', ['import numpy as np']);
    show(item('x = np.e', suggestion));
    ghosts.accept(editor as never, 'word');
    expect(editor.text).toBe('x');
    editor.text = 'import numpy as np\nx = ';
    const there = saying(editor.text + 'np.e', ['import numpy as np']);
    show(item('np.e', there));
    expect(ghosts.imports(editor as never)).toEqual([]);
    expect(noteOf(editor)).toBe('');
    ghosts.accept(editor as never, 'whole');
    expect(editor.text).toBe('import numpy as np\nx = np.e');
  });

  it('accepts nothing in a cell that was locked meanwhile', () => {
    const { accepted, completer, editor, ghosts, model, show } = setUp();
    for (const accept of [
      () => ghosts.accept(editor as never, 'word'),
      () => completer.accept()
    ]) {
      editor.isLocked = false;
      show(item('one two', saying('one two')));
      editor.isLocked = true;
      accept();
      expect([editor.text, model.completions]).toEqual(['', null]);
    }
    expect(accepted).toEqual([]);
  });

  it('accepts nothing where the cursor has left the ghost', () => {
    const { accepted, completer, editor, ghosts, show } = setUp();
    show(item('one', saying('one')));
    editor.text = 'moved';
    ghosts.accept(editor as never, 'word');
    completer.accept();
    expect(accepted).toEqual([]);
  });

  it.each(['word', 'line', null] as const)(
    'accepts nothing (%s) that does not belong there',
    part => {
      const { accepted, completer, editor, ghosts, show } = setUp();
      editor.text = 'o';
      // Someone else wrote an "n" elsewhere, and JupyterLab took it off the ghost.
      show(item('e', saying('one')));
      completer.isActive = false;
      if (part) {
        ghosts.accept(editor as never, part);
      } else {
        completer.accept();
      }
      expect(editor.text).toBe('o');
      expect(accepted).toEqual([]);
    }
  );

  it('ends a ghost that what someone else wrote has shortened', async () => {
    const { editor, model, show } = setUp();
    editor.text = 'o';
    show(item('ne two', saying('one two three')));
    model.handleTextChange({});
    await settled();
    expect(model.reset).not.toHaveBeenCalled();
    show(item('e two', saying('one two three')));
    model.handleTextChange({});
    await settled();
    expect(model.reset).toHaveBeenCalled();
  });

  it('ends a ghost that has no text left', () => {
    const { editor, ghosts, model, show } = setUp();
    show(item('', saying('')));
    ghosts.tidy(editor as never);
    expect(model.reset).toHaveBeenCalled();
  });

  describe('where someone else changes the text', () => {
    /** A ghost, what becomes of it, and how the text is changed. */
    function others() {
      const all = setUp();
      const doc = { on: jest.fn() };
      const ysource = { doc };
      const shared = all.editor.model.sharedModel as object;
      Object.assign(shared, { ysource });
      const suggestions = [saying('one'), saying('two')];
      const follow = suggestions.map(suggestion =>
        jest.spyOn(suggestion, 'follow')
      );
      all.show(...suggestions.map(suggestion => item('one', suggestion)));
      const { model } = all.completer;
      model.handleTextChange({});
      const change = async (text: string, isSameLine: boolean) => {
        all.editor.text = text;
        follow.forEach(mock => mock.mockReturnValue(isSameLine));
        doc.on.mock.calls[0][1]({
          origin: null,
          changed: new Map([[ysource, null]])
        });
        model.handleTextChange({});
        await settled();
      };
      return { ...all, change, follow };
    }

    it('takes all its suggestions along', async () => {
      const { change, follow, model } = others();
      await change('', true);
      follow.forEach(mock => expect(mock).toHaveBeenCalledTimes(1));
      expect(model.reset).not.toHaveBeenCalled();
    });

    it('is gone while the line is another one', async () => {
      const { change, completer, model } = others();
      await change('w', false);
      expect(completer.current).toBeNull();
      await change('', true);
      expect(completer.current?.insertText).toBe('one');
      await change('w', false);
      model.handleTextChange({});
      await settled();
      await change('', true);
      expect(completer.current).toBeNull();
    });

    it('does not bring back what was dismissed', async () => {
      const { change, completer, editor, ghosts } = others();
      ghosts.dismiss(editor as never);
      await change('', true);
      expect(completer.current).toBeNull();
    });
  });

  it('asks for others past the last one, once', async () => {
    const { completer, ghosts, show } = setUp();
    const others = jest.spyOn(ghosts, 'others');
    others.mockResolvedValue([
      { insertText: 'two', suggestion: saying('two') }
    ]);
    show(item('one', saying('one')));
    completer.cycle('previous');
    await settled();
    expect(others).not.toHaveBeenCalled();
    for (const text of ['two', 'one', 'two', 'one']) {
      completer.cycle('next');
      await settled();
      expect(completer.current?.insertText).toBe(text);
    }
    expect(others).toHaveBeenCalledTimes(1);
  });

  describe('while others are on their way', () => {
    const texts = ['two', 'three', 'four'];
    const others = () =>
      texts.map(insertText => ({ insertText, suggestion: saying(insertText) }));

    it.each([
      ['next', 'two'],
      ['next next', 'three'],
      ['next next next next', 'one'],
      ['next previous', 'one'],
      ['next previous next', 'two']
    ])('%s leads to "%s"', async (steps, expected) => {
      const { completer, ghosts, model, show } = setUp();
      const asked = jest.spyOn(ghosts, 'others').mockResolvedValue(others());
      show(item('one', saying('one')));
      for (const step of steps.split(' ')) {
        completer.cycle(step);
      }
      await settled();
      expect(completer.current?.insertText).toBe(expected);
      expect(asked).toHaveBeenCalledTimes(1);
      expect(model.completions?.items.map(one => one.insertText)).toEqual([
        'one',
        ...texts
      ]);
    });

    it('an error leaves what there is, and the next try asks again', async () => {
      const { completer, ghosts, show } = setUp();
      const asked = jest
        .spyOn(ghosts, 'others')
        .mockRejectedValueOnce(new Error('gone'))
        .mockResolvedValue(others());
      show(item('one', saying('one')));
      completer.cycle('next');
      await settled();
      expect(completer.current?.insertText).toBe('one');
      completer.cycle('next');
      await settled();
      expect(completer.current?.insertText).toBe('two');
      expect(asked).toHaveBeenCalledTimes(2);
    });
  });

  it('ends ours when vim leaves insert mode, and shows it to be ours', () => {
    const { editor, model, show } = setUp();
    const cm = {
      state: { vim: { insertMode: true } },
      on: jest.fn<unknown, [string, () => void]>()
    };
    Object.assign(editor.editor, { cm });
    show(item('one', saying('one')));
    expect(editor.host.className).toBe('santa-mod-suggesting');
    cm.state.vim.insertMode = false;
    cm.on.mock.calls.forEach(([, changed]) => changed());
    expect(model.completions).toBeNull();
    show(item('history'));
    expect(editor.host.className).toBe('');
  });

  it('waits behind JupyterLab’s list of completions', async () => {
    const { editor, ghosts, model, show } = setUp();
    const uncovered = jest.fn();
    ghosts.uncovered.connect(uncovered);
    const asked = editor as never;
    expect(ghosts.isCovered(asked)).toBe(false);
    show(item('one', saying('one')));
    editor.host.classList.add('jp-mod-completer-active');
    await settled();
    expect(model.completions).toBeNull();
    expect(ghosts.isCovered(asked)).toBe(true);
    expect(uncovered).not.toHaveBeenCalled();
    editor.host.classList.remove('jp-mod-completer-active');
    await settled();
    expect(uncovered).toHaveBeenCalledTimes(1);
    show(item('history'));
    editor.host.classList.add('jp-mod-completer-active');
    await settled();
    expect(model.completions).not.toBeNull();
  });

  it('shows no others where the user has left meanwhile', async () => {
    const { completer, ghosts, model, show } = setUp();
    const append = jest.spyOn(model, 'appendCompletions');
    jest
      .spyOn(ghosts, 'others')
      .mockResolvedValue([{ insertText: 'two', suggestion: saying('two') }]);
    show(item('one', saying('one')));
    completer.cycle('next');
    completer.isActive = false;
    await settled();
    expect(append).not.toHaveBeenCalled();
  });

  it('stays where the user typed on while others were asked for', async () => {
    const { completer, ghosts, show } = setUp();
    jest
      .spyOn(ghosts, 'others')
      .mockResolvedValue([{ insertText: 'two', suggestion: saying('two') }]);
    show(item('one', saying('one')));
    completer.cycle('next');
    show(item('ne', saying('one')));
    await settled();
    expect(completer.current?.insertText).toBe('ne');
  });
});
