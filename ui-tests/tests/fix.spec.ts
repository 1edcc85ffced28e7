import { expect, test } from './fixtures';

import {
  execute,
  loadModel,
  openNotebook,
  source,
  writeAsSomeoneElse
} from './helpers';

const FIX = 'santajupyter:fix';

test('a cell that failed is mended at a button, as one change, and a key refuses it', async ({
  page
}) => {
  await loadModel(page);
  const before = "table = {'color': 1}\nprint(table['colour'])";
  const after = before.replace('colour', 'color');
  await openNotebook(page, [before]);
  await execute(page, 'notebook:run-cell');
  await page.getByRole('button', { name: 'Fix the Error Here' }).click();
  const removed = page.locator('.santa-Diff-removed');
  await expect(removed).toHaveText('colour');
  await expect(page.locator('.santa-Diff-added')).toHaveText('color');
  await expect(page.locator('.santa-Diff-bar')).toContainText(
    'There is no colour, but color.'
  );
  expect(await source(page)).toBe(before);
  await page.keyboard.press('Escape');
  await expect(removed).toHaveCount(0);
  expect(await source(page)).toBe(before);
  await page.keyboard.press('Alt+Shift+F');
  await expect(removed).toBeVisible();
  await page.keyboard.press('Tab');
  await expect.poll(() => source(page)).toBe(after);
  await expect(removed).toHaveCount(0);
  await page.keyboard.press('Control+z');
  await expect.poll(() => source(page)).toBe(before);
});

test('a misspelled name is mended; typing ends the diff', async ({ page }) => {
  await loadModel(page);
  await openNotebook(page, ['measures = [1]\nx = len(mesures)']);
  await execute(page, 'notebook:run-cell');
  await expect(page.getByRole('button', { name: /^Fix/ })).toBeVisible();
  await execute(page, FIX);
  const bar = page.locator('.santa-Diff-bar');
  await expect(bar).toBeVisible();
  await page.keyboard.type('#');
  await expect(bar).toHaveCount(0);
  expect(await source(page)).toContain('#');
  await page.keyboard.press('Backspace');
  await execute(page, FIX);
  await page.getByRole('button', { name: 'Accept (Tab)' }).click();
  await expect
    .poll(() => source(page))
    .toBe('measures = [1]\nx = len(measures)');
});

test('a diff goes along with what someone else writes above it', async ({
  page
}) => {
  await loadModel(page);
  await openNotebook(page, ['measures = [1]\nx = len(mesures)']);
  await execute(page, 'notebook:run-cell');
  await expect(page.getByRole('button', { name: /^Fix/ })).toBeVisible();
  await execute(page, FIX);
  const removed = page.locator('.santa-Diff-removed');
  await expect(removed).toHaveText('mesures');
  await writeAsSomeoneElse(page, 0, 0, 'import os\n');
  await expect(removed).toHaveText('mesures');
  await page.keyboard.press('Tab');
  await expect
    .poll(() => source(page))
    .toBe('import os\nmeasures = [1]\nx = len(measures)');
});
