import { YFile } from '@jupyter/ydoc';
import type { CodeEditor } from '@jupyterlab/codeeditor';

import { OthersChanges } from '../../jupyterlab/otherschanges';

jest.mock('@jupyterlab/completer', () => ({}));

const TEXT = 'a = 1\n# add\nx = \n';
const CURSOR = TEXT.indexOf('x = ') + 4;
const COMMENT = TEXT.indexOf('#');

/** A text that somebody waits for something in; `[from, to, text]` is what is changed. */
function setUp() {
  const sharedModel = new YFile();
  sharedModel.setSource(TEXT);
  const editor = { model: { sharedModel } } as unknown as CodeEditor.IEditor;
  const others = new OthersChanges(editor);
  const write = (...[from, to, text]: [number, number, string]) =>
    sharedModel.updateSource(from, to, text);
  const type = (...change: [number, number, string]) =>
    sharedModel.ydoc.transact(() => write(...change), { ytext: {} });
  return { others, type, write };
}

describe("others' changes of a text", () => {
  it.each<[string, [number, number, string], number]>([
    ['above', [0, 0, 'import os\n'], 10],
    ['at the end of the line above', [5, 5, '\nb = 2'], 6],
    ['right above', [6, 6, 'b = 2\n'], 6],
    ['out of what is above', [0, 6, ''], -6],
    ['below', [TEXT.length, TEXT.length, 'print(x)'], 0],
    ['right below', [CURSOR, CURSOR, '\nprint(x)'], 0]
  ])('%s move a place and no more', (_, change, by) => {
    const { others, write } = setUp();
    write(...change);
    expect(others.follow(CURSOR, COMMENT)).toBe(CURSOR + by);
    expect(others.isMoved(CURSOR, CURSOR + by)).toBe(true);
    expect(others.isMoved(CURSOR, CURSOR + by - 1)).toBe(false);
    expect(others.isOwn).toBe(false);
  });

  it.each<[string, [number, number, string]]>([
    ['in its line', [CURSOR - 1, CURSOR, '= ']],
    ['right at it', [CURSOR, CURSOR, '1']],
    ['in a line between it and the other one', [COMMENT + 2, COMMENT + 3, 'A']],
    ['that join its line to another', [COMMENT - 1, COMMENT, '']],
    ['of all', [0, TEXT.length, TEXT.replace('add', 'sum')]]
  ])('%s make it void', (_, change) => {
    const { others, write } = setUp();
    write(...change);
    expect(others.follow(CURSOR, COMMENT)).toBeNull();
  });

  it('come one after another', () => {
    const { others, write } = setUp();
    write(0, 0, 'import os\n');
    write(0, 0, '# All\n');
    write(6, 16, '');
    expect(others.follow(CURSOR, CURSOR)).toBe(CURSOR + 6);
    write(CURSOR + 6, CURSOR + 6, '1');
    expect(others.follow(CURSOR, CURSOR)).toBeNull();
    // What is taken back has changed nothing.
    write(CURSOR + 6, CURSOR + 7, '');
    expect(others.follow(CURSOR, CURSOR)).toBe(CURSOR + 6);
  });

  it("aren't the user's own", () => {
    const { others, type } = setUp();
    type(0, 0, 'import os\n');
    expect(others.isOwn).toBe(true);
  });

  it('are heard of no more in the end', () => {
    const { others, write } = setUp();
    others.dispose();
    write(0, 0, 'import os\n');
    expect(others.isMoved(CURSOR, CURSOR)).toBe(true);
  });
});
