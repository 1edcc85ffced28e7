import { expect, type IJupyterLabPageFixture, test } from './fixtures';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { CDPSession, Request, Route } from '@playwright/test';

import {
  CALM,
  editCell,
  execute,
  expectCalmAfter,
  ghostText,
  isPrefetch,
  loadModel,
  openCell
} from './helpers';

const SETTINGS = '@jupyterlab/apputils-extension:settings';
const INVOKE = 'Alt+Backslash';
const COMPLETE = /\/santajupyter\/complete/;
const LINE = 'import numpy as n';

test.beforeEach(async ({ page }) => {
  await loadModel(page);
  await openCell(page);
  await page.waitForTimeout(CALM);
});

test('with suggestions while typing off, only Alt+\\ asks', async ({
  page
}) => {
  await execute(page, 'santajupyter:toggle');
  const requests = listSources(page);
  await page.keyboard.insertText(LINE);
  await expectCalmAfter(page, requests, []);
  await page.keyboard.press(INVOKE);
  await ghostText(page);
  expect(requests).toEqual([LINE]);
});

test('a notebook can be left out, and keeps that', async ({ page }) => {
  const cell = page.locator('.jp-Notebook .jp-Cell').nth(1);
  const item = page.locator('.lm-Menu-item', {
    hasText: 'Suggest Code in This Notebook'
  });
  await cell.click({ button: 'right' });
  await expect(item).toHaveAttribute('aria-checked', 'true');
  await item.click();
  expect(await metadata(page)).toEqual({ enabled: false });
  await editCell(page, 1);
  const requests = listSources(page);
  await page.keyboard.insertText(LINE);
  await page.keyboard.press(INVOKE);
  await expectCalmAfter(page, requests, []);
  await execute(page, 'santajupyter:toggle-notebook');
  expect(await metadata(page)).toBeUndefined();
  await page.keyboard.press(INVOKE);
  await ghostText(page);
});

test('neither a language left out, nor Markdown or raw cells ask', async ({
  page
}) => {
  const requests = listSources(page);
  for (const type of ['Markdown', 'Raw']) {
    await execute(page, `notebook:change-cell-to-${type.toLowerCase()}`);
    await editCell(page, 1);
    await page.keyboard.insertText('some ');
    await page.keyboard.press(INVOKE);
    await expectCalmAfter(page, requests, []);
  }
  await execute(page, 'notebook:change-cell-to-code');
  await set(page, 'offLanguages', ['Python']);
  await editCell(page, 1);
  await page.keyboard.insertText('x');
  await page.keyboard.press(INVOKE);
  await expectCalmAfter(page, requests, []);
});

test('nothing is asked before an input method is done', async ({ page }) => {
  const client = await page.context().newCDPSession(page.context().pages()[0]);
  const requests = listSources(page);
  await page.keyboard.insertText("name = 'x' # ");
  await expectCalmAfter(page, requests, ["name = 'x' # "]);
  for (const text of ['に', 'にほ', '日本']) {
    await compose(client, text);
  }
  await expectCalmAfter(page, requests, ["name = 'x' # "]);
  await client.send('Input.insertText', { text: '日本' });
  await expectCalmAfter(page, requests, ["name = 'x' # ", "name = 'x' # 日本"]);
});

test('nothing is asked for a selection', async ({ page }) => {
  await page.keyboard.insertText('aa\naa\naa');
  await page.waitForTimeout(CALM);
  const requests = listSources(page);
  await page.keyboard.press('Shift+Home');
  await page.keyboard.press(INVOKE);
  await expectCalmAfter(page, requests, []);
});

test('the request before is ended before the next is sent', async ({
  page
}) => {
  const log: string[] = [];
  // One of the test before may end here.
  const own = new Set<Request>();
  page.on('request', request => {
    if (COMPLETE.test(request.url())) {
      own.add(request);
      log.push(`asks ${sourceOf(request)}`);
    }
  });
  page.on('requestfailed', request => {
    if (own.has(request)) {
      log.push(`ends ${sourceOf(request)}`);
    }
  });
  const held = await hold(page);
  for (const [i, text] of ['a', 'b', 'c'].entries()) {
    await page.keyboard.insertText(text);
    await expect.poll(() => held.length).toBe(i + 1);
  }
  expect(log).toEqual(['asks a', 'ends a', 'asks ab', 'ends ab', 'asks abc']);
});

/** The active cells of the completions that are asked for from now on. */
function listSources(page: IJupyterLabPageFixture): string[] {
  const sources: string[] = [];
  page.on('request', request => {
    if (COMPLETE.test(request.url()) && !isPrefetch(request)) {
      sources.push(sourceOf(request));
    }
  });
  return sources;
}

function sourceOf(request: Request): string {
  const { cells, active } = request.postDataJSON();
  return cells[active].source;
}

/** Keeps completions from the server; what is kept comes into the list. */
async function hold(page: IJupyterLabPageFixture): Promise<Route[]> {
  const held: Route[] = [];
  await page.route(COMPLETE, route => {
    held.push(route);
  });
  return held;
}

function compose(client: CDPSession, text: string): Promise<unknown> {
  const selection = { selectionStart: text.length, selectionEnd: text.length };
  return client.send('Input.imeSetComposition', { text, ...selection });
}

function metadata(page: IJupyterLabPageFixture): Promise<unknown> {
  return page.evaluate(() => {
    const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
    return panel.content.model?.getMetadata('santajupyter');
  });
}

async function set(
  page: IJupyterLabPageFixture,
  name: string,
  value: string[]
): Promise<void> {
  await page.evaluate(
    async ([plugin, name, value]) => {
      const registry = await window.galata.getPlugin(plugin);
      await registry?.set('santajupyter:plugin', name, value);
    },
    [SETTINGS, name, value] as const
  );
}
