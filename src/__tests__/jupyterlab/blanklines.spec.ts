import { Signal } from '@lumino/signaling';

import {
  watchBlankLines,
  watchEmptyEditors
} from '../../jupyterlab/blanklines';
import type { Completers, TextChange } from '../../jupyterlab/internals';

/** A completer whose editor has `text` with the cursor at its end. */
function setUp(knows = false) {
  const editor = {
    text: '',
    isDisposed: false,
    hasFocus: () => true,
    getLine: (line: number) => editor.text.split('\n')[line],
    getSelection: () => {
      const lines = editor.text.split('\n');
      const line = lines.length - 1;
      const end = { line, column: lines[line].length };
      return { start: end, end };
    }
  };
  const textChanged = new Signal<object, TextChange>({});
  const made = new Signal<object, object>({});
  const suggest = jest.fn();
  watchBlankLines({ made } as unknown as Completers, {
    suggest,
    isWanted: () => true,
    delay: () => 400,
    knows: () => knows
  });
  made.emit({ editor, isActive: false, textChanged });
  const type = (text: string) => {
    editor.text += text;
    textChanged.emit({ sourceChange: [{ insert: text }] });
  };
  return { editor, suggest, type };
}

beforeEach(() => {
  jest.useFakeTimers();
});

describe('watchBlankLines', () => {
  it('asks when the user rests on the line that Enter made', () => {
    const { suggest, type } = setUp();
    type('x = 1');
    type('\n');
    jest.advanceTimersByTime(390);
    expect(suggest).not.toHaveBeenCalled();
    jest.advanceTimersByTime(20);
    expect(suggest).toHaveBeenCalledTimes(1);
    jest.advanceTimersByTime(10_000);
    expect(suggest).toHaveBeenCalledTimes(1);
  });

  it('never asks while the user types', () => {
    const { suggest, type } = setUp();
    type('x = 1\n');
    jest.advanceTimersByTime(300);
    type('    ');
    jest.advanceTimersByTime(300);
    expect(suggest).not.toHaveBeenCalled();
    type('y');
    jest.advanceTimersByTime(10_000);
    expect(suggest).not.toHaveBeenCalled();
  });

  it('asks again when the indentation was changed, not on an old blank line', () => {
    const { editor, suggest, type } = setUp();
    type('x\n');
    jest.advanceTimersByTime(300);
    type('  ');
    jest.advanceTimersByTime(410);
    expect(suggest).toHaveBeenCalledTimes(1);
    type('y');
    jest.advanceTimersByTime(410);
    editor.text = 'x\n';
    type(' ');
    jest.advanceTimersByTime(410);
    expect(suggest).toHaveBeenCalledTimes(1);
  });

  it('does not wait for what is known after accepted text, but after Enter, which a Tab may follow', () => {
    const { suggest, type } = setUp(true);
    type('x = 1\n');
    jest.advanceTimersByTime(1);
    expect(suggest).toHaveBeenCalledTimes(1);
    type('x');
    for (const text of ['\n', '    ']) {
      type(text);
      jest.advanceTimersByTime(390);
      expect(suggest).toHaveBeenCalledTimes(1);
    }
    jest.advanceTimersByTime(20);
    expect(suggest).toHaveBeenCalledTimes(2);
  });
});

describe('watchEmptyEditors', () => {
  it.each([
    ['', true, 1],
    ['x', true, 0],
    ['', false, 0]
  ])('with %j in it, focused: %s', (text, hasFocus, times) => {
    const node = document.createElement('div');
    const suggest = jest.fn();
    const editor = {
      hasFocus: () => hasFocus,
      model: { sharedModel: { getSource: () => text } }
    };
    watchEmptyEditors(node, {
      suggest,
      delay: () => 400,
      editor: () => editor as never
    });
    node.dispatchEvent(new Event('focusin'));
    jest.advanceTimersByTime(300);
    node.dispatchEvent(new Event('focusin'));
    jest.advanceTimersByTime(390);
    expect(suggest).not.toHaveBeenCalled();
    jest.advanceTimersByTime(20);
    expect(suggest).toHaveBeenCalledTimes(times);
  });
});
