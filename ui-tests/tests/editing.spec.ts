import type { CodeMirrorEditor } from '@jupyterlab/codemirror';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { CDPSession } from '@playwright/test';

import { asked, useEngine } from './engine';
import { expect, galata, type IJupyterLabPageFixture, test } from './fixtures';
import {
  aroundCursor,
  editCell,
  expectGhost,
  GHOST,
  openNotebook,
  source
} from './helpers';

const WORD = process.platform === 'darwin' ? 'Control+.' : 'Alt+.';
const SANTA = 'santajupyter:plugin';
const OURS = { emptyCells: false, restDelay: 100, kernelFacts: false };
const LIST = '.jp-Completer:not(.lm-mod-hidden)';
const COMPLETER = '@jupyterlab/completer-extension:manager';
// A kernel on a busy machine takes longer than the second that it has by itself.
const PATIENT = { providerTimeout: 30_000 };

test.use({
  mockSettings: {
    ...galata.DEFAULT_SETTINGS,
    [SANTA]: OURS,
    [COMPLETER]: PATIENT
  }
});

test.describe('several cursors', () => {
  test.beforeEach(async ({ page }) => {
    await useEngine(page, { script: [[' = ', 'read(path)\nclose()']] });
    await openNotebook(page, ['a\nb']);
    await setCursors(page, [1, 3]);
    await page.keyboard.type(' = ');
  });

  test('have the ghost each, and Tab accepts at all of them', async ({
    page
  }) => {
    await expect(page.locator(GHOST)).toHaveText([
      'read(path)close()',
      'read(path)close()'
    ]);
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe(
      'a = read(path)\nclose()\nb = read(path)\nclose()'
    );
    await expect(page.locator(GHOST)).toHaveCount(0);
    await page.keyboard.press('Control+z');
    expect(await source(page)).toBe('a = \nb = ');
  });

  test('take a word each, and one undo takes them back', async ({ page }) => {
    await expect(page.locator(GHOST)).toHaveCount(2);
    await page.keyboard.press(WORD);
    expect(await source(page)).toBe('a = read\nb = read');
    await page.keyboard.press('Control+z');
    expect(await source(page)).toBe('a = \nb = ');
  });
});

test.describe('JupyterLab’s list of completions', () => {
  test.beforeEach(async ({ page }) => {
    await useEngine(page, { script: [['os.get', 'ghost()']] });
    await openNotebook(page, ['import os', '']);
    await page.notebook.runCell(0, true);
    await editCell(page, 1);
    await page.keyboard.insertText('os.ge');
    await expect.poll(() => asked(page)).toBe(1);
    await page.keyboard.press('Tab');
    await expect(page.locator(LIST)).toBeVisible();
    await page.keyboard.type('t');
    await expect.poll(() => asked(page)).toBe(2);
  });

  test('keeps the ghost back until it closes', async ({ page }) => {
    await expect(page.locator(LIST)).toBeVisible();
    await expect(page.locator(GHOST)).toHaveCount(0);
    const before = await asked(page);
    await page.keyboard.press('Escape');
    await expect(page.locator(LIST)).toHaveCount(0);
    await expectGhost(page, 'ghost()');
    expect(await asked(page)).toBe(before);
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe('os.getghost()');
  });

  test('has Tab and Enter first', async ({ page }) => {
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await expect(page.locator(LIST)).toHaveCount(0);
    expect(await source(page)).toMatch(/^os\.get(?!ghost)\w+/);
  });
});

test.describe('JupyterLab’s list of completions that opens by itself', () => {
  test.use({
    mockSettings: {
      ...galata.DEFAULT_SETTINGS,
      [SANTA]: OURS,
      [COMPLETER]: {
        ...PATIENT,
        autoCompletion: true,
        suppressIfInlineCompleterActive: false
      },
      '@jupyterlab/completer-extension:inline-completer': {
        suppressIfTabCompleterActive: false
      }
    }
  });

  test('keeps the ghost back until it closes', async ({ page }) => {
    await useEngine(page, { script: [['os.get', 'ghost()']] });
    await openNotebook(page, ['import os', '']);
    await page.notebook.runCell(0, true);
    await editCell(page, 1);
    await page.keyboard.insertText('os.ge');
    await page.keyboard.type('t');
    await expect(page.locator(LIST)).toBeVisible();
    await expect.poll(() => asked(page)).toBeGreaterThan(0);
    await expect(page.locator(GHOST)).toHaveCount(0);
    await page.keyboard.press('Escape');
    await expectGhost(page, 'ghost()');
  });
});

test('Alt+] pressed again before others are there goes on to the next but one', async ({
  page
}) => {
  await useEngine(page, {
    script: [['x = ', 'one', 'two', 'three', 'four']],
    delay: 300
  });
  await openNotebook(page, ['x = |']);
  await page.keyboard.press('Alt+\\');
  await expectGhost(page, 'one');
  await page.keyboard.press('Alt+]');
  await page.keyboard.press('Alt+]');
  await expectGhost(page, 'three');
  await page.keyboard.press('Alt+]');
  await expectGhost(page, 'four');
  await page.keyboard.press('Alt+[');
  await page.keyboard.press('Alt+[');
  await expectGhost(page, 'two');
  expect(await asked(page)).toBe(2);
});

test.describe('Tab at the beginning of a line', () => {
  const script: [string, string][] = [
    ['def f():\n    ', 'return 1'],
    ['def f():\n        ', 'return 2']
  ];

  test.use({
    mockSettings: {
      ...galata.DEFAULT_SETTINGS,
      [SANTA]: { ...OURS, tabIndents: true }
    }
  });

  test('indents where the user wants it to', async ({ page }) => {
    await useEngine(page, { script });
    await openNotebook(page, ['def f():|']);
    await page.keyboard.press('Enter');
    await expectGhost(page, 'return 1');
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe('def f():\n        ');
    await expectGhost(page, 'return 2');
    await page.keyboard.press('Shift+Tab');
    expect(await source(page)).toBe('def f():\n    ');
    await page.keyboard.type('re');
    await expectGhost(page, 'turn 1');
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe('def f():\n    return 1');
  });
});

test.describe('with vim', () => {
  test('a ghost goes as insert mode ends, and none comes then', async ({
    page
  }) => {
    await useEngine(page, { script: [['def f():\n', 'pass']] });
    await openNotebook(page, ['def f():\n|']);
    await useVim(page);
    await page.keyboard.press('Alt+\\');
    await expectGhost(page, 'pass');
    await setMode(page, false);
    await expect(page.locator(GHOST)).toHaveCount(0);
    await page.keyboard.press('Alt+\\');
    await expect(page.locator('.santa-CursorNote')).toContainText(
      'insert mode'
    );
    await setMode(page, true);
    await page.keyboard.press('Alt+\\');
    await expectGhost(page, 'pass');
  });

  test('what is asked for is not shown once insert mode has ended', async ({
    page
  }) => {
    await useEngine(page, { script: [['def f():\n', 'pass']], delay: 500 });
    await openNotebook(page, ['def f():\n|']);
    await useVim(page);
    await page.keyboard.press('Alt+\\');
    await expect.poll(() => asked(page)).toBe(1);
    await setMode(page, false);
    await expect(page.locator('.santa-CursorNote')).toContainText(
      'insert mode'
    );
    await expect(page.locator(GHOST)).toHaveCount(0);
  });
});

test('lines are indented by tabs in a cell that has them', async ({ page }) => {
  await useEngine(page, {
    script: [['def g(x):', '\n    if x:\n        return x']],
    size: 3
  });
  await openNotebook(page, ['def f():\n\treturn 1\n\ndef g(x):|']);
  await page.keyboard.press('Alt+\\');
  await expectGhost(page, '\n\tif x:\n\t\treturn x');
  await page.keyboard.press('Tab');
  expect(await source(page)).toMatch(/def g\(x\):\n\tif x:\n\t\treturn x$/);
});

test.describe('a screen keyboard', () => {
  test('composes its word beside the ghost', async ({ page }) => {
    await useEngine(page, { script: [['mean = su', 'm(values)']] });
    await openNotebook(page, ['mean =|']);
    await page.evaluate(() =>
      Object.defineProperty(navigator, 'userAgent', {
        configurable: true,
        value: 'Mozilla/5.0 (Linux; Android 15)'
      })
    );
    const keyboard = await devtools(page);
    const compose = (text: string) =>
      keyboard.send('Input.imeSetComposition', {
        text,
        selectionStart: text.length,
        selectionEnd: text.length
      });
    await keyboard.send('Input.insertText', { text: ' ' });
    await compose('s');
    await compose('su');
    await expectGhost(page, 'm(values)');
    await compose('sum');
    await expectGhost(page, '(values)');
    await compose('sun');
    await expectGhost(page, '');
    await compose('su');
    await expectGhost(page, 'm(values)');
    await keyboard.send('Input.insertText', { text: 'sum' });
    expect(await source(page)).toBe('mean = sum');
    await expectGhost(page, '(values)');
    await page.evaluate(() => Reflect.deleteProperty(navigator, 'userAgent'));
  });

  test('accepts by a tap on the ghost', async ({ page }) => {
    await useEngine(page, { script: [['mean = ', 'sum(values)']] });
    await openNotebook(page, ['mean =|']);
    await page.keyboard.type(' ');
    await expectGhost(page, 'sum(values)');
    const box = await page.locator(GHOST).boundingBox();
    const finger = await devtools(page);
    const point = { x: (box?.x ?? 0) + 20, y: (box?.y ?? 0) + 5 };
    await finger.send('Input.dispatchTouchEvent', {
      type: 'touchStart',
      touchPoints: [point]
    });
    await finger.send('Input.dispatchTouchEvent', {
      type: 'touchEnd',
      touchPoints: []
    });
    await expect.poll(() => source(page)).toBe('mean = sum(values)');
    await expect(
      page.locator('.jp-Cell.jp-mod-active .cm-focused')
    ).toBeVisible();
    expect(await aroundCursor(page)).toEqual(['mean = sum(values)', '']);
  });
});

/** The way to the browser's keyboard and screen, below what Playwright offers. */
function devtools(page: IJupyterLabPageFixture): Promise<CDPSession> {
  // Galata's page is a proxy, which it doesn't take.
  const [raw] = page.context().pages();
  return raw.context().newCDPSession(raw);
}

/** Puts empty cursors into the active cell; the last one is the main one. */
async function setCursors(
  page: IJupyterLabPageFixture,
  offsets: number[]
): Promise<void> {
  await page.evaluate(offsets => {
    const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
    const editor = panel.content.activeCell?.editor as CodeMirrorEditor;
    editor.setSelections(
      offsets.map(offset => {
        const at = editor.getPositionAt(offset) ?? { line: 0, column: 0 };
        return { start: at, end: at };
      })
    );
  }, offsets);
}

/** Gives the active cell what jupyterlab-vim adds to an editor, in insert mode. */
async function useVim(page: IJupyterLabPageFixture): Promise<void> {
  await page.evaluate(() => {
    const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
    const { editor } = panel.content.activeCell?.editor as CodeMirrorEditor;
    const listeners: (() => void)[] = [];
    Object.assign(editor, {
      cm: {
        state: { vim: { insertMode: true } },
        on: (_event: string, listener: () => void) => listeners.push(listener),
        tell: () => listeners.forEach(listener => listener())
      }
    });
  });
}

async function setMode(
  page: IJupyterLabPageFixture,
  insertMode: boolean
): Promise<void> {
  await page.evaluate(insertMode => {
    const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
    const { cm } = (panel.content.activeCell?.editor as CodeMirrorEditor)
      .editor as unknown as {
      cm: { state: { vim: { insertMode: boolean } }; tell(): void };
    };
    cm.state.vim.insertMode = insertMode;
    cm.tell();
  }, insertMode);
}
