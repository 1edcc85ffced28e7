import { expect, type IJupyterLabPageFixture, test } from './fixtures';
import { openNotebook, writeCell } from './helpers';

const MADE = 'mean log-probability';

test.describe('the magics', () => {
  test.beforeEach(async ({ page }) => {
    await openNotebook(page, ['', '', '']);
    await run(page, 0, '%load_ext santajupyter');
    // The page says that it is there once that cell is over.
    await page.waitForTimeout(1000);
  });

  test('a candidate goes into a new cell below, and is not run', async ({
    page
  }) => {
    await choose(page);
    await button(page, 'Insert below').first().click();
    await expect
      .poll(() => page.notebook.getCellTextInput(2))
      .toMatch(/^def add\(a, b\):[^]*\S/);
    await expect(output(page, 1)).toContainText('Done.');
    expect(await page.notebook.getCellTextOutput(2)).toBeNull();
  });

  test('a candidate replaces the cell', async ({ page }) => {
    await choose(page);
    await button(page, 'Replace').last().click();
    await expect
      .poll(() => page.notebook.getCellTextInput(1))
      .toMatch(/^def add\(a, b\):/);
  });

  test('a candidate is copied', async ({ page, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await choose(page);
    await button(page, 'Copy').first().click();
    await expect
      .poll(() => page.evaluate(() => navigator.clipboard.readText()))
      .toMatch(/^def add\(a, b\):/);
  });

  test('more candidates come when asked for', async ({ page }) => {
    await choose(page);
    await button(page, 'More').click();
    // One without a text isn't shown.
    await expect
      .poll(() => output(page, 1).getByText(MADE).count())
      .toBeGreaterThan(2);
  });

  test('what the model was unsure of is shaded on wish', async ({ page }) => {
    await choose(page);
    const shaded = output(page, 1).locator('span[title$="%"]');
    await expect(shaded).toHaveCount(0);
    await button(page, 'Shade').click();
    await expect(shaded.first()).toHaveCSS('background-color', /^rgba\(230/);
    await button(page, 'Shade').click();
    await expect(shaded).toHaveCount(0);
  });

  test('what fills a hole is shown as a diff to accept', async ({ page }) => {
    const cell = 'import numpy as <FILL>\nx = np.zeros(3)';
    await run(page, 1, `%%santa fill\n${cell}`);
    await expect(output(page, 1)).toContainText('- import numpy as <FILL>');
    await button(page, 'Accept').click();
    await expect
      .poll(() => page.notebook.getCellTextInput(1))
      .toMatch(/^import numpy as \w+\nx = np\.zeros\(3\)$/);
  });

  test('ghost text is switched off and on', async ({ page }) => {
    await run(page, 1, '%santa off');
    await expect(output(page, 1)).toContainText('only when you ask');
    await run(page, 2, '%santa on');
    await expect(output(page, 2)).toContainText('suggests code while you type');
  });

  test('the panel previews', async ({ page }) => {
    await run(page, 1, '%santa panel');
    await output(page, 1).locator('textarea').fill('import numpy as n');
    await expect(output(page, 1)).toContainText(MADE, { timeout: 30_000 });
    await expect(output(page, 1)).toContainText('import numpy as np');
  });
});

/** Has two candidates made in the second cell. */
async function choose(page: IJupyterLabPageFixture): Promise<void> {
  await run(page, 1, '%%santa generate -n 2 --seed 1\ndef add(a, b):');
  await expect(output(page, 1).getByText(MADE)).toHaveCount(2, {
    timeout: 60_000
  });
}

async function run(
  page: IJupyterLabPageFixture,
  index: number,
  source: string
): Promise<void> {
  await writeCell(page, index, source);
  await page.notebook.runCell(index, true);
}

function output(page: IJupyterLabPageFixture, index: number) {
  return page
    .locator('.jp-Notebook .jp-CodeCell')
    .nth(index)
    .locator('.jp-Cell-outputArea');
}

function button(page: IJupyterLabPageFixture, name: string) {
  return page.locator('.jupyter-button', { hasText: name });
}
