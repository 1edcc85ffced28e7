import { EditorState } from '@codemirror/state';
import { EditorView } from '@codemirror/view';
import type { CodeEditor } from '@jupyterlab/codeeditor';

import { applyChanges, showDiff } from '../../jupyterlab/diff';

let byOthers = false;
jest.mock('../../jupyterlab/internals', () => ({
  isOthersChange: () => byOthers
}));

const CHANGES = [
  { start: 0, end: 0, text: 'import a\n' },
  { start: 7, end: 13, text: 'color' }
];

function editorOf(doc: string): [CodeEditor.IEditor, EditorView] {
  const view = new EditorView({
    state: EditorState.create({ doc }),
    parent: document.body
  });
  return [{ editor: view } as unknown as CodeEditor.IEditor, view];
}

describe('a diff in an editor', () => {
  afterEach(() => (byOthers = false));

  it('shows what goes and what comes, and changes nothing', () => {
    const [editor, view] = editorOf("print('colour')\ny = 1");
    const bar = document.createElement('div');
    const ended = jest.fn();
    const diff = showDiff(editor, CHANGES, bar, ended);
    const texts = (name: string) =>
      Array.from(view.dom.querySelectorAll(name), node => node.textContent);
    expect(texts('.santa-Diff-removed')).toEqual(['colour']);
    expect(texts('.santa-Diff-added')).toEqual(['import a\n', 'color']);
    expect(view.dom.contains(bar)).toBe(true);
    expect(view.state.doc.toString()).toBe("print('colour')\ny = 1");
    diff?.end();
    expect(texts('.santa-Diff-removed, .santa-Diff-added')).toEqual([]);
    expect(view.dom.contains(bar)).toBe(false);
    expect(ended).toHaveBeenCalledTimes(1);
  });

  it('ends with a change of the text, and can come again', () => {
    const [editor, view] = editorOf("print('colour')");
    const ended = jest.fn();
    for (const times of [1, 2]) {
      showDiff(editor, CHANGES, document.createElement('div'), ended);
      view.dispatch({ changes: { from: 15, insert: '#' } });
      expect(ended).toHaveBeenCalledTimes(times);
      expect(view.dom.querySelector('.santa-Diff-added')).toBe(null);
    }
  });

  it('goes along where others change other lines, and ends where they change its own', () => {
    const [editor, view] = editorOf("x = 1\nprint('colour')\ny = 1");
    const ended = jest.fn();
    const bar = document.createElement('div');
    const change = { start: 13, end: 19, text: 'color' };
    const diff = showDiff(editor, [change], bar, ended);
    byOthers = true;
    view.dispatch({ changes: { from: 0, insert: 'n = 2\n' } });
    view.dispatch({ changes: { from: view.state.doc.length, insert: '2' } });
    expect(ended).not.toHaveBeenCalled();
    expect(view.dom.querySelector('.santa-Diff-removed')?.textContent).toBe(
      'colour'
    );
    expect(view.dom.contains(bar)).toBe(true);
    expect(diff?.changes).toEqual([{ start: 19, end: 25, text: 'color' }]);
    view.dispatch({ changes: { from: 20, insert: 'u' } });
    expect(ended).toHaveBeenCalledTimes(1);
    expect(view.dom.querySelector('.santa-Diff-removed')).toBe(null);
  });

  it('is put in at once, with the cursor behind it', () => {
    const [editor, view] = editorOf("print('colour')");
    applyChanges(editor, CHANGES);
    expect(view.state.doc.toString()).toBe("import a\nprint('color')");
    expect(view.state.selection.main.head).toBe(21);
  });

  it('is refused by an editor of another kind', () => {
    const editor = { editor: {} } as unknown as CodeEditor.IEditor;
    const bar = document.createElement('div');
    expect(showDiff(editor, CHANGES, bar, () => undefined)).toBe(null);
  });
});
