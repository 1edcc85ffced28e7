import type { ConsolePanel } from '@jupyterlab/console';
import type { NotebookPanel } from '@jupyterlab/notebook';

import { expect, type IJupyterLabPageFixture, test } from './fixtures';
import { CALM, notebookOf, openNotebook, openPath, writeCell } from './helpers';

const VISIBLE = '.jp-NotebookPanel:not(.lm-mod-hidden)';
const MADE = 'mean log-probability';
const CHOOSE = '%%santa generate -n 2 --seed 1\nfor i in';

test.describe('the magics', () => {
  test.beforeEach(async ({ page }) => {
    await openNotebook(page, ['', '', '']);
    await load(page);
  });

  test('a candidate goes into a new cell below, and is not run', async ({
    page
  }) => {
    await choose(page);
    await button(page, 'Insert below').first().click();
    await expect
      .poll(() => page.notebook.getCellTextInput(2))
      .toMatch(/^for i in \S/);
    await expect(output(page, 1)).toContainText('Done.');
    expect(await page.notebook.getCellTextOutput(2)).toBeNull();
  });

  test('a candidate replaces the cell', async ({ page }) => {
    await choose(page);
    await button(page, 'Replace').last().click();
    await expect
      .poll(() => page.notebook.getCellTextInput(1))
      .toMatch(/^for i in \S/);
  });

  test('a candidate is copied', async ({ page, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await choose(page);
    await button(page, 'Copy').first().click();
    await expect
      .poll(() => page.evaluate(() => navigator.clipboard.readText()))
      .toMatch(/^for i in \S/);
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
    await expect(output(page, 1)).toContainText(
      'JupyterLab suggests code only when you ask'
    );
    await run(page, 2, '%santa on');
    await expect(output(page, 2)).toContainText(
      'JupyterLab suggests code while you type'
    );
  });

  test('the panel previews', async ({ page }) => {
    await run(page, 1, '%santa panel');
    await output(page, 1).locator('textarea').fill('import numpy as n');
    await expect(output(page, 1)).toContainText(MADE, { timeout: 30_000 });
    await expect(output(page, 1)).toContainText('import numpy as np');
  });
});

test.describe('with the same cells twice', () => {
  test.beforeEach(async ({ page, tmpPath }) => {
    const cells = ['%load_ext santajupyter', CHOOSE];
    for (const name of ['original.ipynb', 'copy.ipynb']) {
      const path = `${tmpPath}/${name}`;
      await page.contents.uploadContent(notebookOf(cells), 'text', path);
    }
    await openPath(page, `${tmpPath}/copy.ipynb`);
  });

  test('a candidate goes into the copy that made it', async ({
    page,
    tmpPath
  }) => {
    await openPath(page, `${tmpPath}/original.ipynb`);
    await openPath(page, `${tmpPath}/copy.ipynb`);
    await load(page);
    await page.notebook.runCell(1, true);
    await insertFirst(page);
    await expect.poll(() => sources(page, 'copy.ipynb')).toHaveLength(3);
    expect(await sources(page, 'original.ipynb')).toHaveLength(2);
  });

  test('also where both have one kernel', async ({ page, tmpPath }) => {
    // The copy's connection, which is there first, is the one for widgets.
    await load(page);
    await openWithSameKernel(page, `${tmpPath}/original.ipynb`);
    await page.notebook.runCell(1, true);
    await insertFirst(page);
    await expect.poll(() => sources(page, 'original.ipynb')).toHaveLength(3);
    expect(await sources(page, 'copy.ipynb')).toHaveLength(2);
  });
});

test('a console that had the kernel first is no obstacle', async ({
  page,
  tmpPath
}) => {
  const path = `${tmpPath}/test.ipynb`;
  const cells = ['%load_ext santajupyter', CHOOSE];
  await page.contents.uploadContent(notebookOf(cells), 'text', path);
  await page.evaluate(async () => {
    const { commands } = window.jupyterapp;
    const console = (await commands.execute('console:create', {
      kernelPreference: { name: 'python3' }
    })) as ConsolePanel;
    await console.sessionContext.ready;
    window.jupyterapp.shell.activateById(console.id);
  });
  await openWithSameKernel(page, path);
  await load(page);
  await page.notebook.runCell(1, true);
  await insertFirst(page);
  await expect.poll(() => sources(page, 'test.ipynb')).toHaveLength(3);
});

test('of two pages the one that is clicked in acts', async ({
  page,
  browser,
  tmpPath
}) => {
  const path = `${tmpPath}/test.ipynb`;
  const cells = ['%load_ext santajupyter', CHOOSE];
  await page.contents.uploadContent(notebookOf(cells), 'text', path);
  await openPath(page, path);
  await load(page);
  await page.notebook.runCell(1, true);
  await expect(output(page, 1).getByText(MADE)).toHaveCount(2);
  await page.notebook.save();
  const context = await browser.newContext();
  const other = await context.newPage();
  await other.goto(page.url());
  const widgets = other.locator('.jupyter-button', { hasText: 'Insert below' });
  await widgets.first().click();
  const there = other.locator('.jp-Notebook .jp-CodeCell');
  await expect(there).toHaveCount(3);
  // The page that had the cell run offers its help in vain.
  await page.waitForTimeout(2 * CALM + 500);
  await expect(there).toHaveCount(3);
  expect(await sources(page, 'test.ipynb')).toHaveLength(2);
  await context.close();
});

/** Runs the first cell, which loads the magics; the page says that it is there once that cell is over. */
async function load(page: IJupyterLabPageFixture): Promise<void> {
  const source = '%load_ext santajupyter';
  await run(page, 0, source);
  await expect
    .poll(async () => {
      await run(
        page,
        0,
        `${source}\nprint(get_ipython().magics_manager.registry['SantaMagics'].bridge.present)`
      );
      return output(page, 0).innerText();
    })
    .toContain('True');
}

/** Opens the notebook with the kernel of the notebook or console in front. */
async function openWithSameKernel(
  page: IJupyterLabPageFixture,
  path: string
): Promise<void> {
  const kernel = await page.evaluate(() => {
    const front = window.jupyterapp.shell.currentWidget as
      NotebookPanel | ConsolePanel;
    return front.sessionContext.session?.kernel?.id;
  });
  await openPath(page, path, kernel);
}

/** Each cell's source in an open notebook. */
function sources(
  page: IJupyterLabPageFixture,
  name: string
): Promise<string[]> {
  return page.evaluate(name => {
    const panels = [
      ...window.jupyterapp.shell.widgets('main')
    ] as NotebookPanel[];
    const panel = panels.find(({ context }) => context?.path.endsWith(name));
    return (panel?.content.widgets ?? []).map(({ model }) =>
      model.sharedModel.getSource()
    );
  }, name);
}

async function insertFirst(page: IJupyterLabPageFixture): Promise<void> {
  const shown = page.locator(VISIBLE);
  await expect(shown.getByText(MADE)).toHaveCount(2, { timeout: 60_000 });
  await shown.getByText('Insert below').first().click();
  await expect(shown.getByText('Done.')).toBeVisible();
}

/** Has two candidates made in the second cell. */
async function choose(page: IJupyterLabPageFixture): Promise<void> {
  await run(page, 1, CHOOSE);
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
    .locator(`${VISIBLE} .jp-CodeCell`)
    .nth(index)
    .locator('.jp-Cell-outputArea');
}

function button(page: IJupyterLabPageFixture, name: string) {
  return page.locator('.jupyter-button', { hasText: name });
}
