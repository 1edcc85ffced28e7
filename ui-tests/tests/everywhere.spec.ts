import { expect, type IJupyterLabPageFixture, test as lab } from './fixtures';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { type Page, type Route, test } from '@playwright/test';

import {
  CALM,
  editCell,
  execute,
  GHOST,
  listCompletions,
  notebookOf,
  openCell,
  openFile,
  openNotebook,
  writeCell
} from './helpers';
import type { ICompletionRequest } from '../../src/api';
import { Server } from './server';

const LINE = 'import numpy as n';
/** What a server that is away, or has no santajupyter, is asked at most in a few seconds. */
const FEW = 5;

lab.describe('in one JupyterLab', () => {
  let problems: string[];
  lab.beforeEach(({ page }) => {
    problems = listProblems(page);
  });
  lab.afterEach(({ page }) => expectQuiet(page, problems));

  lab('a file and a console get ghost text', async ({ page }) => {
    await openFile(page);
    await expectGhostAfter(page, LINE);
    await execute(page, 'console:create', {
      kernelPreference: { name: 'python3' }
    });
    // With the kernel comes another prompt.
    await page.getByText('| Idle').waitFor();
    await page.locator('.jp-CodeConsole-promptCell .cm-content').click();
    await expectGhostAfter(page, LINE);
  });

  lab('two notebooks are asked for each as itself', async ({ page }) => {
    const asked = listCompletions(page);
    const lines = [LINE, 'import matplotlib.p'];
    for (const line of lines) {
      await openNotebook(page, ['']);
      await expectGhostAfter(page, line);
    }
    // The empty cells may have been asked about before.
    const [one, two] = lines.map(
      line =>
        asked.find(
          ({ cells, active }) => cells[active].source === line
        ) as ICompletionRequest
    );
    expect(one.path).not.toBe(two.path);
    expect(one.client).not.toBe(two.client);
    expect(two.cells.map(cell => cell.source)).toEqual(['import matplotlib.p']);
  });

  lab('of two views only the one typed into asks', async ({ page }) => {
    await openCell(page);
    await execute(page, 'docmanager:clone');
    const views = page.locator('.jp-NotebookPanel');
    await expect(views).toHaveCount(2);
    const asked = listCompletions(page);
    for (const [i, line] of [LINE, 'import matplotlib.p'].entries()) {
      await views.nth(i).locator('.jp-Cell .cm-content').nth(1).click();
      await clear(page);
      await page.keyboard.insertText(line);
      await expect(views.nth(i).locator(GHOST)).toHaveText(/\S/);
      expect(asked.length).toBe(i + 1);
    }
    expect(asked[0].client).not.toBe(asked[1].client);
  });

  lab('cells may move and go while a request runs', async ({ page }) => {
    const held = await hold(page);
    await openCell(page);
    const askThen = async (change: () => Promise<unknown>) => {
      await page.keyboard.insertText(LINE);
      // An empty cell may have been asked about before.
      await expect
        .poll(() => held.at(-1)?.request().postData())
        .toContain(LINE);
      await change();
      // Where the page has given it up, it can't go on.
      await Promise.all(held.splice(0).map(route => route.continue()));
      await page.waitForTimeout(CALM);
      await expect(page.locator(GHOST)).toHaveCount(0);
    };
    await askThen(() => execute(page, 'notebook:move-cell-up'));
    expect(await page.notebook.getCellTextInput(0)).toBe(LINE);
    await editCell(page, 0);
    await askThen(() => execute(page, 'notebook:delete-cell'));
    expect(await page.notebook.getCellCount()).toBe(1);
    await editCell(page, 0);
    await page.keyboard.press('Enter');
    await askThen(() =>
      page.evaluate(() => window.jupyterapp.shell.currentWidget?.dispose())
    );
  });

  // Galata's own way of watching kernels doesn't let them restart.
  lab.describe('with kernels unwatched', () => {
    lab.use({ kernels: null });

    lab('a kernel that restarts is told of no more', async ({ page }) => {
      await openCell(page);
      await writeCell(page, 0, 'point = {"a": 1}');
      await page.notebook.runCell(0, true);
      const asked = listCompletions(page);
      await editCell(page, 1);
      await page.keyboard.insertText('print(point');
      // What a run has made is read some time after it.
      await expect(async () => {
        await page.keyboard.insertText(' ');
        expect(asked.at(-1)?.variables).toHaveLength(1);
      }).toPass();
      await page.evaluate(async () => {
        const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
        await panel.sessionContext.session?.kernel?.restart();
      });
      await editCell(page, 1);
      await page.keyboard.insertText(', point');
      await expect
        .poll(() => asked.at(-1)?.cells[1].source)
        .toContain(', point');
      expect(asked.at(-1)?.variables).toBeUndefined();
    });
  });

  lab('without a network it is quiet, then back', async ({ page }) => {
    await openCell(page);
    await expectGhostAfter(page, LINE);
    const count = countRequests(page);
    await page.context().setOffline(true);
    await page.keyboard.type('; and so on and so forth', { delay: 100 });
    expect(count()).toBeLessThan(FEW);
    const item = page.locator('.santa-StatusItem');
    await expect(item).toHaveText('SantaJupyter: server away');
    await page.context().setOffline(false);
    await expect(item).toHaveText(/^santa-mini/);
    await expectComesBack(page);
  });
});

test.describe('at a server of its own', () => {
  let server: Server;
  test.afterEach(() => server.remove());

  test('below /user/ada/, and when it is restarted', async ({ page }) => {
    const problems = listProblems(page);
    server = new Server('/user/ada/');
    await server.start();
    await open(page, `${server.url}lab/tree/test.ipynb`);
    await expectGhostAfter(page, LINE);
    await server.stop();
    const count = countRequests(page);
    await page.keyboard.type('; and so on and so forth', { delay: 100 });
    expect(count()).toBeLessThan(FEW);
    await server.start();
    await expectComesBack(page);
    await expectQuiet(page, problems);
  });

  test('without our half of it there is nothing', async ({ page }) => {
    const problems = listProblems(page);
    const without = "--ServerApp.jpserver_extensions={'santajupyter': False}";
    server = new Server('/', [without]);
    await server.start();
    const count = countRequests(page);
    await open(page, `${server.url}lab/tree/test.ipynb`);
    await page.keyboard.type(LINE, { delay: 100 });
    await page.waitForTimeout(CALM);
    expect(count()).toBeLessThan(FEW);
    await expect(page.locator('.santa-StatusItem')).toBeHidden();
    await expectQuiet(page, problems);
  });
});

test('Notebook 7 shows ghost text', async ({ page, request }) => {
  const problems = listProblems(page);
  const content = JSON.parse(notebookOf(['import os', '']));
  const model = { type: 'notebook', format: 'json', content };
  await request.put('/api/contents/seven.ipynb', { data: model });
  await open(page, '/notebooks/seven.ipynb');
  await expectGhostAfter(page, LINE);
  await page.keyboard.press('Tab');
  await expect(lastCell(page)).toHaveText(/^import numpy as n\w/);
  await expectQuiet(page, problems);
});

/** Opens a notebook of two cells, with the cursor in the second. */
async function open(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await lastCell(page).click();
  await page.waitForSelector('.jp-mod-completer-enabled');
}

function lastCell(page: Page) {
  return page.locator('.jp-Notebook .jp-Cell .cm-content').last();
}

async function expectGhostAfter(page: Page, line: string): Promise<void> {
  await page.keyboard.insertText(line);
  const ghost = page.locator(GHOST).filter({ visible: true });
  await expect(ghost).toHaveText(/\S/, { timeout: 30_000 });
}

/** JupyterLab asks for nothing when typing takes the place of a selection. */
async function clear(page: Page): Promise<void> {
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.press('Delete');
}

/** Types until ghost text comes, past what JupyterLab says of the connection. */
async function expectComesBack(page: Page): Promise<void> {
  await expect(async () => {
    const dismiss = page.locator('.jp-Dialog button').first();
    while (await dismiss.isVisible()) {
      await dismiss.click();
    }
    await lastCell(page).click();
    await clear(page);
    await page.keyboard.insertText(LINE);
    await expect(page.locator(GHOST)).toHaveText(/\S/, { timeout: 4000 });
  }).toPass({ timeout: 60_000 });
}

/** The page's complaints of ours, but for the line that a browser writes of each failed request. */
function listProblems(page: Page): string[] {
  const problems: string[] = [];
  page.on('console', message => {
    const text = `${message.text()} ${message.location().url}`;
    if (
      ['error', 'warning'].includes(message.type()) &&
      text.includes('santajupyter') &&
      !text.startsWith('Failed to load resource')
    ) {
      problems.push(text);
    }
  });
  page.on('pageerror', ({ stack = '' }) => {
    if (stack.includes('santajupyter')) {
      problems.push(stack);
    }
  });
  return problems;
}

async function expectQuiet(page: Page, problems: string[]): Promise<void> {
  expect(problems).toEqual([]);
  await expect(
    page.locator('.Toastify__toast', { hasText: 'completion' })
  ).toHaveCount(0);
}

/** Counts all that santajupyter's server is asked from now on. */
function countRequests(page: Page): () => number {
  let count = 0;
  page.on('request', request => {
    count += /\/santajupyter\/[a-z]+(\?|$)/.test(request.url()) ? 1 : 0;
  });
  return () => count;
}

/** Keeps completions from the server until somebody lets them go on. */
async function hold(page: IJupyterLabPageFixture): Promise<Route[]> {
  const held: Route[] = [];
  await page.route(/santajupyter\/complete/, route => {
    held.push(route);
  });
  return held;
}
