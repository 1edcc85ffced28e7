import { expect, type IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Page, Request } from '@playwright/test';
import type { ICompletionRequest } from '../../src/server/protocol';

export const GHOST =
  '.jp-GhostText:not(.jp-GhostText-lineSpacer):not(.jp-GhostText-letterSpacer)';
/** Milliseconds after which a request that a test caused has been sent. */
export const CALM = 1000;

export async function loadModel(page: IJupyterLabPageFixture): Promise<void> {
  await execute(page, 'santajupyter:load');
  await expect(page.locator('.santa-StatusItem')).toHaveText(/^santa-mini \(/, {
    timeout: 30_000
  });
}

/** As if the built-in model were one for blocks. */
export async function loadForBlocks(
  page: IJupyterLabPageFixture
): Promise<void> {
  await page.route(/santajupyter\/(status|load)/, async route => {
    const response = await route.fetch();
    await route.fulfill({ json: { ...(await response.json()), blocks: true } });
  });
  await loadModel(page);
}

export async function execute(
  page: IJupyterLabPageFixture,
  command: string,
  options: Record<string, string | Record<string, string>> = {}
): Promise<void> {
  await page.evaluate(
    async ([id, options]) => {
      await window.jupyterapp.commands.execute(id, options);
    },
    [command, options] as const
  );
}

/** A new Python file with the cursor in it. */
export async function openFile(page: IJupyterLabPageFixture): Promise<void> {
  await execute(page, 'fileeditor:create-new', { fileExt: 'py' });
  await page.locator('.jp-FileEditor .cm-content').click();
}

/** A new notebook with the cursor in an empty second cell. */
export function openCell(page: IJupyterLabPageFixture): Promise<void> {
  return openNotebook(page, ['import os', '']);
}

/** A new notebook with these code cells, and the cursor at the mark | of the last, or at its end. */
export async function openNotebook(
  page: IJupyterLabPageFixture,
  cells: string[]
): Promise<void> {
  // The menu and the dialog for the kernel, and typing, take as long as the rest of a test.
  await page.evaluate(
    async sources => {
      const { commands } = window.jupyterapp;
      const panel: NotebookPanel = await commands.execute(
        'notebook:create-new',
        { cwd: '', kernelName: 'python3' }
      );
      await panel.context.ready;
      const notebook = panel.content.model?.sharedModel;
      notebook?.insertCells(
        0,
        sources.map(source => ({ cell_type: 'code', source }))
      );
      notebook?.deleteCell(sources.length);
      // As the kernel will say it: the editor begins anew, without a ghost, where that is news.
      notebook?.setMetadata('language_info', {
        name: 'python',
        mimetype: 'text/x-python',
        codemirror_mode: { name: 'ipython', version: 3 },
        file_extension: '.py'
      });
      notebook?.clearUndoHistory();
      // What the page has of suggestions is void once there is a kernel.
      await panel.sessionContext.ready;
      while (panel.sessionContext.kernelDisplayStatus !== 'idle') {
        await new Promise(resolve => setTimeout(resolve, 20));
      }
    },
    cells.map(source => source.replace('|', ''))
  );
  const at = cells[cells.length - 1].indexOf('|');
  await editCell(page, cells.length - 1, at < 0 ? undefined : at);
  await page.waitForSelector(
    '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-mod-completer-enabled'
  );
}

/**
 * Opens a notebook that is on the server, and brings it to the front. Galata's way there, by clicks in the
 * file browser, waits for ever where a list that is drawn anew swallows one.
 */
export async function openPath(
  page: IJupyterLabPageFixture,
  path: string,
  kernel?: string
): Promise<void> {
  await page.evaluate(
    async ([path, id]) => {
      const { commands, shell } = window.jupyterapp;
      const panel: NotebookPanel = await commands.execute('docmanager:open', {
        path,
        ...(id && { kernel: { id } })
      });
      await panel.context.ready;
      await panel.sessionContext.ready;
      shell.activateById(panel.id);
    },
    [path, kernel] as const
  );
  await expect(
    page.locator('.jp-NotebookPanel:not(.lm-mod-hidden)')
  ).toHaveCount(1);
}

/** Puts the cursor into a cell of the notebook in front: there, or where it was. */
export async function editCell(
  page: IJupyterLabPageFixture,
  index: number,
  at?: number
): Promise<void> {
  await page.evaluate(
    async ([index, at]) => {
      const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
      const { content } = panel;
      content.activeCellIndex = index as number;
      await content.activeCell?.ready;
      content.mode = 'edit';
      const editor = content.activeCell?.editor;
      if (at !== undefined) {
        editor?.setCursorPosition(
          editor.getPositionAt(at) as CodeEditor.IPosition
        );
      }
      editor?.focus();
    },
    [index, at]
  );
  await expect(
    page.locator('.jp-Cell.jp-mod-active .cm-editor.cm-focused')
  ).toBeVisible();
}

/** Gives a cell of the notebook in front this text, as if someone else wrote it. */
export async function writeCell(
  page: IJupyterLabPageFixture,
  index: number,
  source: string
): Promise<void> {
  await page.evaluate(
    ([index, source]) => {
      const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
      panel.content.widgets[index as number].model.sharedModel.setSource(
        source as string
      );
    },
    [index, source]
  );
}

/** Writes into the active cell as another person does. */
export function writeAsSomeoneElse(
  page: IJupyterLabPageFixture,
  start: number,
  end: number,
  text: string
): Promise<void> {
  return page.evaluate(
    ([start, end, text]) => {
      const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
      panel.content.activeCell?.model.sharedModel.updateSource(
        start as number,
        end as number,
        text as string
      );
    },
    [start, end, text]
  );
}

/** Accepts the ghost; the cell is then exactly before + ghost + after. */
export async function acceptGhost(page: IJupyterLabPageFixture): Promise<void> {
  const ghost = await ghostText(page);
  const [before, after] = await aroundCursor(page);
  await page.keyboard.press('Tab');
  await expect.poll(() => source(page)).toBe(before + ghost + after);
}

/** Waits until the ghost, all lines of it, is just this text. */
export async function expectGhost(
  page: IJupyterLabPageFixture,
  text: string
): Promise<void> {
  await expect
    .poll(async () => (await page.locator(GHOST).allInnerTexts()).join(''))
    .toBe(text);
}

/** The ghost's text once all of it is there. */
export async function ghostText(page: IJupyterLabPageFixture): Promise<string> {
  const ghost = page.locator(GHOST);
  await expect(ghost).toHaveText(/\S/, { timeout: 30_000 });
  await expect(page.locator('.jp-GhostText-streamingIndicator')).toHaveCount(0);
  return ghost.innerText();
}

export async function moveLeft(
  page: IJupyterLabPageFixture,
  times: number
): Promise<void> {
  for (let i = 0; i < times; i++) {
    await page.keyboard.press('ArrowLeft');
  }
}

/** Whether it asks for what would follow a suggestion. */
export function isPrefetch(request: Request): boolean {
  return request.postDataJSON()?.prefetch === true;
}

/** What the model is asked from now on, but for what isn't to be shown yet: `complete 1: import numpy as n`. */
export function listRequests(page: IJupyterLabPageFixture): string[] {
  const requests: string[] = [];
  page.on('request', request => {
    const [, route] = /santajupyter\/(warm|complete)/.exec(request.url()) ?? [];
    if (route && !isPrefetch(request)) {
      const { active, cells } = request.postDataJSON();
      requests.push(`${route} ${active}: ${cells[active].source}`);
    }
  });
  return requests;
}

/** The completions that are asked for from now on. */
export function listCompletions(page: Page): ICompletionRequest[] {
  const asked: ICompletionRequest[] = [];
  page.on('request', request => {
    if (/santajupyter\/complete/.test(request.url()) && !isPrefetch(request)) {
      asked.push(request.postDataJSON());
    }
  });
  return asked;
}

/** Expects these requests, and no more after them. */
export async function expectCalmAfter(
  page: IJupyterLabPageFixture,
  requests: string[],
  expected: string[]
): Promise<void> {
  await expect.poll(() => requests).toEqual(expected);
  await page.waitForTimeout(CALM);
  expect(requests).toEqual(expected);
}

/** Counts the completions asked for from now on. */
export function countRequests(page: IJupyterLabPageFixture): () => number {
  let count = 0;
  page.on('request', request => {
    const isAsked =
      request.url().includes('/santajupyter/complete') && !isPrefetch(request);
    count += isAsked ? 1 : 0;
  });
  return () => count;
}

export async function source(page: IJupyterLabPageFixture): Promise<string> {
  return (await aroundCursor(page)).join('');
}

/** The active cell's text left and right of the cursor. */
export function aroundCursor(
  page: IJupyterLabPageFixture
): Promise<[string, string]> {
  return page.evaluate(() => {
    const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
    const editor = panel.content.activeCell?.editor;
    if (!editor) {
      throw new Error('No cell is being edited.');
    }
    const text = editor.model.sharedModel.getSource();
    const cursor = editor.getOffsetAt(editor.getCursorPosition());
    return [text.slice(0, cursor), text.slice(cursor)];
  });
}

/** A file with these code cells. */
export function notebookOf(sources: string[]): string {
  return JSON.stringify({
    cells: sources.map((source, i) => ({
      cell_type: 'code',
      id: `cell-${i}`,
      execution_count: null,
      metadata: {},
      outputs: [],
      source
    })),
    metadata: {
      kernelspec: {
        name: 'python3',
        display_name: 'Python 3',
        language: 'python'
      },
      language_info: { name: 'python' }
    },
    nbformat: 4,
    nbformat_minor: 5
  });
}
