import { expect, galata, test } from './fixtures';
import type { NotebookPanel } from '@jupyterlab/notebook';

import { asked, useEngine, type IEngine } from './engine';
import {
  aroundCursor,
  CALM,
  editCell,
  execute,
  expectGhost,
  GHOST,
  loadForBlocks,
  loadModel,
  notebookOf,
  openCell,
  source
} from './helpers';

const WORD = process.platform === 'darwin' ? 'Control+.' : 'Alt+.';
const MEAN: IEngine['script'] = [['mean = ', 'sum(values) / len(values)']];

test.use({
  mockSettings: {
    ...galata.DEFAULT_SETTINGS,
    'santajupyter:plugin': { emptyCells: false }
  }
});

test.beforeEach(async ({ page }) => {
  await useEngine(page, { script: MEAN });
  await loadModel(page);
});

test('what someone else writes into a cell shortens no ghost', async ({
  page
}) => {
  await openCell(page);
  await page.keyboard.insertText('mean = ');
  await expectGhost(page, 'sum(values) / len(values)');
  await page.evaluate(() => {
    window.engine.delay = 1e6;
    const panel = window.jupyterapp.shell.currentWidget as NotebookPanel;
    panel.content.activeCell?.model.sharedModel.updateSource(0, 0, 's');
  });
  expect(await aroundCursor(page)).toEqual(['smean = ', '']);
  await expect(page.locator(GHOST)).toHaveCount(0);
});

test('what is accepted in one view stands in the other, without a ghost', async ({
  page
}) => {
  await openCell(page);
  await execute(page, 'docmanager:clone');
  const views = page.locator('.jp-NotebookPanel');
  await expect(views).toHaveCount(2);
  const cells = [0, 1].map(at =>
    views.nth(at).locator('.jp-Cell .cm-content').nth(1)
  );
  await cells[0].click();
  await page.keyboard.insertText('mean = ');
  await expectGhost(page, 'sum(values) / len(values)');
  await page.keyboard.press(WORD);
  await expectGhost(page, '(values) / len(values)');
  await expect(views.nth(1).locator(GHOST)).toHaveCount(0);
  await expect(cells[1]).toHaveText('mean = sum');
  await cells[1].click();
  await page.keyboard.press('End');
  await page.keyboard.type('!');
  await cells[0].click();
  await page.keyboard.press('Home');
  await page.keyboard.press('Tab');
  expect(await source(page)).toBe('    mean = sum!');
});

test('a cell with CR LF, where JupyterLab writes astray, gets no ghost', async ({
  page
}) => {
  const path = 'crlf.ipynb';
  await page.contents.uploadContent(
    notebookOf(['a = 1\r\nb = 2\r\n', '']),
    'text',
    path
  );
  await execute(page, 'docmanager:open', { path });
  await page.locator('.jp-Notebook .jp-Cell').nth(1).waitFor();
  await editCell(page, 0);
  await page.keyboard.insertText('mean = ');
  await page.waitForTimeout(CALM);
  expect(await asked(page)).toBe(0);
  await loadForBlocks(page);
  await execute(page, 'santajupyter:complete-here');
  await expect(page.locator('.Toastify__toast')).toContainText(
    'copy its text into a new cell'
  );
  expect(await asked(page)).toBe(0);
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.press('ControlOrMeta+c');
  await editCell(page, 1);
  await page.keyboard.press('ControlOrMeta+v');
  await page.keyboard.insertText('mean = ');
  await expectGhost(page, 'sum(values) / len(values)');
});
