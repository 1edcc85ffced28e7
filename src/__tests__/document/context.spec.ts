import { ConsolePanel } from '@jupyterlab/console';
import { NotebookPanel } from '@jupyterlab/notebook';
import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import {
  activeLanguage,
  activeType,
  currentPlace,
  currentRequest,
  mimeLanguage,
  notebookContext,
  requestPlace
} from '../../document/context';

// The real classes want a whole browser; only `instanceof` asks for them here.
jest.mock('@jupyterlab/notebook', () => ({ NotebookPanel: class {} }));
jest.mock('@jupyterlab/console', () => ({ ConsolePanel: class {} }));
jest.mock('@jupyterlab/docregistry', () => ({ DocumentWidget: class {} }));
jest.mock('@jupyterlab/fileeditor', () => ({ FileEditor: class {} }));

const EMOJI = "s = '🎅🎄'\nx = 1";
const CURSOR = EMOJI.indexOf(' 1');
const request = { text: EMOJI, offset: CURSOR - 2, mimeType: 'text/x-java' };

describe('mimeLanguage', () => {
  it.each([
    ['text/x-ipython', 'python'],
    ['text/x-python', 'python'],
    ['text/javascript', 'javascript'],
    ['text/x-java', 'java'],
    ['text/x-c++src', 'c++'],
    ['text/x-rsrc', 'r'],
    ['text/x-mssql', 'sql'],
    ['application/x-httpd-php', 'php'],
    ['text/typescript-jsx', 'typescript'],
    ['application/json', 'json'],
    ['text/x-ipythongfm', 'markdown'],
    [undefined, 'python']
  ])('of %j is %j', (mimeType, language) => {
    expect(mimeLanguage(mimeType)).toBe(language);
  });
});

describe('a notebook', () => {
  const panel = notebook({ language_info: { name: 'Julia' } });

  it('is told as its live cells', () => {
    expect(notebookContext(panel, request, false)).toEqual({
      cells: [
        { type: 'markdown', source: '# a', id: 'c0', execution_count: null },
        { type: 'code', source: EMOJI, id: 'c1', execution_count: 7 },
        { type: 'raw', source: 'r', id: 'c2', execution_count: null }
      ],
      active: 1,
      offset: CURSOR - 2,
      language: 'julia',
      path: 'a.ipynb'
    });
  });

  it('is told with what its cells showed, if wanted', () => {
    const cell = model('code', 'x', 0, 1);
    const output = { type: 'stream', streamText: { text: '1\n' } };
    const outputs = { length: 1, get: () => output };
    const shown = notebook({}, [{ ...cell, outputs }]);
    const cells = (withText: boolean) =>
      notebookContext(shown, request, withText).cells;
    expect(cells(true)[0].outputs).toEqual([{ type: 'text', text: '1\n' }]);
    expect(cells(false)[0].outputs).toBeUndefined();
  });

  it('has its place around the cursor, emoji or not', () => {
    const place = {
      editor: 'e1',
      prefix: "s = '🎅🎄'\nx =",
      suffix: ' 1'
    };
    expect(currentPlace(panel)).toEqual(place);
    expect(requestPlace(panel, request)).toEqual(place);
    expect(currentRequest(panel)).toEqual(request);
    expect(activeType(panel)).toBe('code');
  });

  it('has the main place of several cursors, and none where text is selected', () => {
    const at = (column: number) => ({ line: 1, column });
    const [cursor, other] = [1, 3].map(n => ({ start: at(n), end: at(n) }));
    const selected = { start: at(1), end: at(3) };
    for (const selections of [[selected], [cursor, selected]]) {
      const edited = notebook({}, undefined, selections);
      expect(currentPlace(edited)).toBeNull();
      expect(currentRequest(edited)).toBeNull();
    }
    const several = notebook({}, undefined, [cursor, other]);
    expect(currentRequest(several)).toEqual(request);
  });

  it('is in the language of its kernelspec, or else of its editor', () => {
    const spec = notebook({ kernelspec: { language: 'R' } });
    expect(notebookContext(spec, request, false).language).toBe('r');
    expect(notebookContext(notebook({}), request, false).language).toBe('java');
    expect([spec, notebook({})].map(activeLanguage)).toEqual(['r', 'java']);
  });
});

describe('a console', () => {
  const panel = Object.assign(Object.create(ConsolePanel.prototype), {
    console: {
      cells: [
        { model: model('raw', 'banner', 0) },
        { model: model('code', 'a = 1', 1, 1) }
      ],
      sessionContext: { path: 'console-1' }
    }
  }) as Widget;

  it('is what ran, then the prompt', () => {
    const { cells, active } = notebookContext(panel, request, false);
    expect(cells.map(cell => cell.source)).toEqual(['a = 1', EMOJI]);
    expect(active).toBe(1);
  });
});

it('anything else is one code cell', () => {
  expect(notebookContext({} as Widget, request, false)).toEqual({
    cells: [{ type: 'code', source: EMOJI }],
    active: 0,
    offset: CURSOR - 2,
    language: 'java',
    path: ''
  });
});

function notebook(
  metadata: Record<string, unknown>,
  first = [model('markdown', '# a', 0)],
  selections?: object[]
): Widget {
  const cells = [...first, model('code', EMOJI, 1, 7), model('raw', 'r', 2)];
  const start = { line: 1, column: 3 };
  const editor = {
    uuid: 'e1',
    model: { ...cells[1], mimeType: request.mimeType },
    getSelections: () => selections ?? [{ start, end: start }],
    getCursorPosition: () => start,
    getOffsetAt: () => CURSOR
  };
  return Object.assign(Object.create(NotebookPanel.prototype), {
    content: {
      activeCell: { model: cells[1], editor },
      activeCellIndex: 1,
      model: {
        cells: Object.assign([...cells], {
          changed: new Signal({}),
          get: (i: number) => cells[i]
        }),
        getMetadata: (key: string) => metadata[key]
      }
    },
    context: { path: 'a.ipynb' }
  }) as Widget;
}

function model(type: string, source: string, id: number, count?: number) {
  return {
    type,
    id: `c${id}`,
    executionCount: count ?? null,
    outputs: { length: 0 },
    sharedModel: { changed: new Signal({}), getSource: () => source }
  };
}
