import { expect, test } from './fixtures';

import {
  acceptGhost,
  CALM,
  countRequests,
  editCell,
  execute,
  expectCalmAfter,
  expectGhost,
  GHOST,
  ghostText,
  isPrefetch,
  listRequests,
  loadModel,
  moveLeft,
  openCell,
  openFile,
  openNotebook,
  source,
  writeCell
} from './helpers';

test.describe('with the built-in model', () => {
  test.beforeEach(({ page }) => openCell(page));

  test("ghost text at a line's end goes in with Tab as shown", async ({
    page
  }) => {
    await page.keyboard.type('import numpy as n');
    await acceptGhost(page);
  });

  test('ghost text in mid-line goes in between', async ({ page }) => {
    await page.keyboard.type('import numpy as   # arrays');
    await moveLeft(page, '  # arrays'.length);
    await page.keyboard.type('n');
    await acceptGhost(page);
  });

  test('an emoji before the cursor moves nothing', async ({ page }) => {
    await page.keyboard.type("hat = '🎅🎄'");
    await page.keyboard.press('Enter');
    await page.keyboard.type('import numpy as n');
    await acceptGhost(page);
  });

  test('typing what the ghost says leaves its rest', async ({ page }) => {
    await page.keyboard.type('import matplotlib.p');
    const ghost = await ghostText(page);
    const requests = countRequests(page);
    await page.keyboard.type(ghost[0]);
    await expect(page.locator(GHOST)).toHaveText(ghost.slice(1), {
      useInnerText: true
    });
    expect(requests()).toBe(0);
    await acceptGhost(page);
  });

  test('the line that Enter makes gets ghost text', async ({ page }) => {
    const line = 'import matplotlib.pyplot as plt';
    await page.keyboard.type(line, { delay: 20 });
    await page.keyboard.press('Enter');
    await acceptGhost(page);
    expect(await source(page)).toMatch(new RegExp(`^${line}\\n\\S`));
  });

  test('Tab indents again once the cursor left the ghost', async ({ page }) => {
    await page.keyboard.type('import numpy as n');
    await ghostText(page);
    await page.keyboard.press('Home');
    await expect(page.locator(GHOST)).toHaveCount(0);
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe('    import numpy as n');
  });

  test('a cell with %%santa generate fills a new one below', async ({
    page
  }) => {
    await writeCell(page, 0, '%load_ext santajupyter');
    await page.notebook.runCell(0, true);
    await writeCell(page, 1, '%%santa generate\nfor i in');
    await page.notebook.runCell(1, true);
    await expect
      .poll(() => page.notebook.getCellTextInput(2))
      .toBe('for i in range(10):');
  });
});

test('what the kernel knows goes with requests and leaves no trace there', async ({
  page
}) => {
  await loadModel(page);
  await openCell(page);
  await writeCell(page, 0, 'point = {"a": 1}');
  const told = page.waitForRequest(
    request =>
      /santajupyter\/(warm|complete)/.test(request.url()) &&
      request.postDataJSON().variables?.[0]?.name === 'point'
  );
  await page.notebook.runCell(0, true);
  await editCell(page, 1);
  const { variables } = (await told).postDataJSON();
  expect(variables).toMatchObject([{ type: 'dict', keys: ['a'] }]);
  const newer = 'names = list(globals()); names[names.index("point") + 1:]';
  await writeCell(page, 1, newer);
  await page.notebook.runCell(1, true);
  await expect(
    page.locator('.jp-OutputPrompt', { hasText: '[2]' })
  ).toBeVisible();
  expect(await page.notebook.getCellTextOutput(1)).toEqual(["['_i2']"]);
});

test('SQL has the tables and columns of a database in the kernel', async ({
  page
}) => {
  await loadModel(page);
  await openNotebook(page, [
    [
      'import sqlite3',
      'con = sqlite3.connect(":memory:")',
      'con.execute(\'CREATE TABLE voyages(ship TEXT, "left at" TEXT)\')'
    ].join('\n'),
    'con.execute("SELECT * FROM |")'
  ]);
  const told = page.waitForRequest(
    request => request.postDataJSON()?.databases?.[0]?.name === 'con'
  );
  await editCell(page, 0);
  await execute(page, 'notebook:run-cell');
  await editCell(page, 1, 'con.execute("SELECT * FROM '.length);
  await told;
  await page.keyboard.press('Alt+\\');
  await expectGhost(page, 'voyages');
});

test.describe('reading ahead', () => {
  test.beforeEach(async ({ page }) => {
    await loadModel(page);
    await openCell(page);
    await page.waitForTimeout(CALM);
  });

  test('a cell is read once when it gets the focus', async ({ page }) => {
    const requests = listRequests(page);
    await editCell(page, 0);
    await expectCalmAfter(page, requests, ['warm 0: import os']);
    await page.keyboard.press('Escape');
    await page.keyboard.press('ArrowDown');
    // Who passes by in command mode isn't about to type.
    await expectCalmAfter(page, requests, ['warm 0: import os']);
    await page.keyboard.press('Enter');
    await expectCalmAfter(page, requests, ['warm 0: import os', 'warm 1: ']);
  });

  test('the cell below one that was run is read once it is entered', async ({
    page
  }) => {
    await editCell(page, 0);
    await page.waitForTimeout(CALM);
    const requests = listRequests(page);
    await page.keyboard.press('Shift+Enter');
    await expect(
      page.locator('.jp-InputPrompt', { hasText: '[1]' })
    ).toBeVisible();
    await expectCalmAfter(page, requests, []);
    await page.keyboard.press('Enter');
    // Who rests in an empty cell is suggested something.
    await expectCalmAfter(page, requests, ['warm 1: ', 'complete 1: ']);
  });

  test('typing asks for a completion, and its ghost for what follows', async ({
    page
  }) => {
    const requests = listRequests(page);
    const ahead = page.waitForRequest(isPrefetch);
    // At once: on a slow machine, keys one by one may each be asked for.
    await page.keyboard.insertText('import numpy as n');
    const asked = ['complete 1: import numpy as n'];
    await ghostText(page);
    expect((await (await ahead).response())?.status()).toBe(200);
    await expectCalmAfter(page, requests, asked);
    await acceptGhost(page);
    await expectCalmAfter(page, requests, asked);
  });

  test('a file is read when its editor gets the focus', async ({ page }) => {
    const requests = listRequests(page);
    await openFile(page);
    await expectCalmAfter(page, requests, ['warm 0: ']);
  });

  test('a model that is not loaded is left alone', async ({ page }) => {
    await execute(page, 'santajupyter:unload');
    await expect(page.locator('.santa-StatusItem')).toContainText('not loaded');
    const requests = listRequests(page);
    await editCell(page, 0);
    await expectCalmAfter(page, requests, []);
  });
});

test.describe('without santajupyter at the server', () => {
  test.use({ fresh: true });

  test('only its state is asked for, and suggestions come when it is there', async ({
    page
  }) => {
    const asked: string[] = [];
    await page.route(/\/santajupyter\/(status|complete|warm)/, route => {
      asked.push(route.request().url().split('/').at(-1)?.split('?')[0] ?? '');
      return route.fulfill({ status: 404, json: { message: 'Not Found' } });
    });
    await page.goto();
    await expect.poll(() => asked.length).toBeGreaterThan(0);
    await openCell(page);
    await page.keyboard.type('import numpy as n', { delay: 50 });
    await page.waitForTimeout(CALM);
    expect(new Set(asked)).toEqual(new Set(['status']));
    await expect(page.locator('.santa-StatusItem')).toBeHidden();
    await page.unroute(/\/santajupyter\/(status|complete|warm)/);
    await expect(async () => {
      await page.keyboard.press('Backspace');
      await page.keyboard.type('n');
      await expect(page.locator(GHOST)).toHaveText('p', { timeout: 2000 });
    }).toPass({ timeout: 90_000 });
  });
});
