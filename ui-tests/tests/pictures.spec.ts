import { expect, type IJupyterLabPageFixture, test } from '@jupyterlab/galata';

import { execute, ghostText, loadModel, notebookOf, openPath } from './helpers';

/** The pictures of README.md, taken anew with PICTURES=1. */
const FOLDER = '../docs/images';

const SALES = `import pandas as pd

sales = pd.DataFrame({
    "region": ["north", "south"] * 3,
    "units": [10, 4, 7, 12, 3, 9],
    "price": [2.5, 4.0, 3.25, 1.75, 5.0, 2.0],
})
sales["revenue"] = sales["units"] * sales["price"]`;

test.skip(!process.env.PICTURES, 'PICTURES=1 takes them');
test.use({
  viewport: { width: 860, height: 440 },
  deviceScaleFactor: 1.5
});

test.beforeEach(async ({ page }) => {
  await loadModel(page);
  // The hint that comes once, with the first suggestion.
  await page.addStyleTag({ content: '.Toastify { display: none; }' });
});

test('ghost text that knows the kernel', async ({ page, tmpPath }) => {
  await open(page, tmpPath, 'sales.ipynb', [SALES, '']);
  await page.notebook.runCell(0, true);
  await edit(page, 1);
  await page.keyboard.type('sales["cost"] = sales["u');
  expect(await ghostText(page)).toBe('nits"] * sales["price"]');
  await page.screenshot({ path: `${FOLDER}/ghost-text.png` });
});

test('ghost text of an import', async ({ page, tmpPath }) => {
  const above = 'import numpy as np\n\nx = np.linspace(0, 1)';
  await open(page, tmpPath, 'plots.ipynb', [above, '']);
  await edit(page, 1);
  await page.keyboard.type('import matplotlib.p');
  expect(await ghostText(page)).toBe('yplot as plt');
  await page.screenshot({ path: `${FOLDER}/santa-mini.png` });
});

test('what mends a cell that failed', async ({ page, tmpPath }) => {
  await page.setViewportSize({ width: 860, height: 520 });
  await open(page, tmpPath, 'sales.ipynb', [SALES, 'sales["revenues"].mean()']);
  await page.notebook.runCell(0, true);
  await page.notebook.runCell(1, true);
  await edit(page, 1);
  await page.keyboard.press('Alt+Shift+F');
  await expect(page.locator('.jp-Cell').nth(1)).toContainText('Accept');
  // Without the traceback, which has this machine's paths.
  const clip = { x: 0, y: 0, width: 860, height: 340 };
  await page.screenshot({ path: `${FOLDER}/fix.png`, clip });
});

test('the generate magic', async ({ page, tmpPath }) => {
  await page.setViewportSize({ width: 860, height: 600 });
  await open(page, tmpPath, 'generate.ipynb', [
    '%load_ext santajupyter\n%santa',
    '%%santa generate\nimport matplotlib.pyplot as plt\n\nfig, ax = plt.'
  ]);
  await page.notebook.runCell(0, true);
  await page.notebook.runCell(1, true);
  await expect
    .poll(() => page.notebook.getCellTextInput(2))
    .toBe('import matplotlib.pyplot as plt\n\nfig, ax = plt.subplots()');
  await page.screenshot({ path: `${FOLDER}/generate.png` });
});

test('the panel', async ({ page, tmpPath }) => {
  await page.setViewportSize({ width: 860, height: 900 });
  await open(page, tmpPath, 'plots.ipynb', ['']);
  await edit(page, 0);
  for (const text of ['import numpy as n', 'import matplotlib.p']) {
    await page.keyboard.type(text);
    await ghostText(page);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
  }
  await execute(page, 'santajupyter:status');
  const panel = page.locator('.santa-Panel .jp-Dialog-content');
  await expect(panel).toContainText('2 accepted');
  await panel.screenshot({ path: `${FOLDER}/panel.png` });
});

async function edit(
  page: IJupyterLabPageFixture,
  index: number
): Promise<void> {
  await page.notebook.enterCellEditingMode(index);
  await page.waitForSelector('.jp-mod-completer-enabled');
  // Over ghost text it would bring the keys up.
  await page.mouse.move(0, 0);
}

async function open(
  page: IJupyterLabPageFixture,
  folder: string,
  name: string,
  cells: string[]
): Promise<void> {
  await page.contents.uploadContent(
    notebookOf(cells),
    'text',
    `${folder}/${name}`
  );
  await openPath(page, `${folder}/${name}`);
  await execute(page, 'application:toggle-left-area');
  await page.evaluate(() => {
    for (const widget of [...window.jupyterapp.shell.widgets('main')]) {
      if (widget !== window.jupyterapp.shell.currentWidget) {
        widget.close();
      }
    }
  });
}
