import AxeBuilder from '@axe-core/playwright';

import { expect, type IJupyterLabPageFixture, test } from './fixtures';
import { asked, useEngine } from './engine';
import {
  execute,
  expectGhost,
  GHOST,
  loadModel,
  openCell,
  openNotebook
} from './helpers';

const TYPED = 'import numpy as n';
const DIFF = ['bar', 'added', 'removed'].map(part => `.santa-Diff-${part}`);

test.beforeEach(({ page }) => loadModel(page));

test('a suggestion is announced, once', async ({ page }) => {
  await useEngine(page, { script: [[TYPED, 'p  # x\nimport os\nimport re']] });
  await openCell(page);
  await page.keyboard.insertText(TYPED);
  const live = page.locator('.santa-Announcer[aria-live="polite"]');
  await expect(live).toHaveText('Suggestion: p  # x, and 2 more lines');
  // Typing through it is no news.
  await page.keyboard.type('p');
  await expectGhost(page, '  # x\nimport os\nimport re');
  await expect(live).toHaveText('Suggestion: p  # x, and 2 more lines');
});

test('a suggestion can be read, and is there again afterwards', async ({
  page
}) => {
  await useEngine(page, { script: [[TYPED, 'p']] });
  await openCell(page);
  await page.keyboard.insertText(TYPED);
  await expectGhost(page, 'p');
  await page.keyboard.press('Alt+F2');
  const text = page.getByRole('textbox', { name: 'The suggestion' });
  await expect(text).toBeFocused();
  await expect(text).toHaveValue('p');
  await page.keyboard.press('Escape');
  await expect(page.locator('.jp-Notebook .cm-focused')).toHaveCount(1);
  await expectGhost(page, 'p');
});

test.describe('shown while Alt is held', () => {
  test.use({ mockSettings: { 'santajupyter:plugin': { holdToShow: true } } });

  test('a suggestion comes and goes', async ({ page }) => {
    await useEngine(page, { script: [[TYPED, 'p']] });
    await openCell(page);
    await page.keyboard.type(TYPED);
    expect(await asked(page)).toBe(0);
    await page.keyboard.down('Alt');
    await expectGhost(page, 'p');
    await page.keyboard.up('Alt');
    await expect(page.locator(GHOST)).toHaveCount(0);
  });
});

test.describe('axe finds nothing', () => {
  test('in the menu and the status item', async ({ page }) => {
    await page.locator('.santa-StatusItem button').click();
    await expect(page.locator('.santa-Menu')).toBeVisible();
    await expectAccessible(page, ['.santa-Menu', '.santa-StatusItem']);
    await page.keyboard.press('Escape');
  });

  test('in the panel', async ({ page }) => {
    await execute(page, 'santajupyter:status');
    await expect(page.locator('.santa-Body select')).toBeFocused();
    await expectAccessible(page, ['.santa-Panel']);
  });

  test('in what a notebook with a suggestion has of ours', async ({ page }) => {
    await useEngine(page, { script: [[TYPED, 'p']] });
    await openCell(page);
    await page.keyboard.insertText(TYPED);
    await expectGhost(page, 'p');
    await expectAccessible(page, ['.santa-Announcer', '.santa-StatusItem']);
    await page.keyboard.press('Alt+F2');
    await expect(page.locator('.santa-View-text')).toBeFocused();
    await expectAccessible(page, ['.santa-View-text']);
    await page.keyboard.press('Escape');
  });

  test('in a repair, and in the dark', async ({ page }) => {
    await openNotebook(page, ['measures = [1]\nx = len(mesures)']);
    await execute(page, 'notebook:run-cell');
    const button = page.getByRole('button', { name: 'Fix the Error Here' });
    await button.click();
    await expect(page.locator('.santa-Diff-bar')).toBeVisible();
    await expectAccessible(page, [...DIFF, '.santa-FixButton']);
    await page.theme.setDarkTheme();
    await expectAccessible(page, [...DIFF, '.santa-FixButton']);
    await execute(page, 'santajupyter:status');
    await expect(page.locator('.santa-Body select')).toBeFocused();
    await expectAccessible(page, ['.santa-Panel', '.santa-StatusItem']);
    await page.keyboard.press('Escape');
    await page.theme.setLightTheme();
  });
});

/** Axe's rules for WCAG 2.1 A and AA, in these parts: the rest of the page is JupyterLab's. */
async function expectAccessible(
  page: IJupyterLabPageFixture,
  parts: string[]
): Promise<void> {
  const axe = new AxeBuilder({ page }).withTags([
    'wcag2a',
    'wcag2aa',
    'wcag21a',
    'wcag21aa'
  ]);
  parts.forEach(part => axe.include(part));
  const { violations } = await axe.analyze();
  expect(
    violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])
  ).toEqual([]);
}
