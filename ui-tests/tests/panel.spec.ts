import { expect, type IJupyterLabPageFixture, test } from './fixtures';
import type { Locator } from '@playwright/test';

import { asked, useEngine } from './engine';
import {
  acceptGhost,
  execute,
  expectGhost,
  GHOST,
  ghostText,
  loadModel,
  openCell,
  source
} from './helpers';

const LOADING = { timeout: 30_000 };

test.beforeEach(({ page }) => loadModel(page));

test.describe('the status bar item', () => {
  test('opens the menu by mouse and keyboard, and the panel from it', async ({
    page
  }) => {
    const button = item(page).getByRole('button');
    await button.click();
    await expect(menu(page)).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(menu(page)).toHaveCount(0);
    for (const key of ['Enter', 'Space']) {
      await button.focus();
      await page.keyboard.press(key);
      await expect(menu(page)).toBeVisible();
      await page.keyboard.press('Escape');
      await expect(menu(page)).toHaveCount(0);
      await expect(button).toBeFocused();
    }
    await button.click();
    await menu(page).getByText('Show the Code Completion Model').click();
    await expect(picker(page)).toBeFocused();
  });

  test('tells every way of being off, and the menu turns it on', async ({
    page
  }) => {
    await useEngine(page, { script: [['import numpy as n', 'p']] });
    await openCell(page);
    const isUsual = () =>
      expect(item(page)).toHaveText(/^santa-mini \([^)]*\)$/);
    for (const [entry, label] of [
      [/^Suggest Code$/, /, off$/],
      [/^Suggest Code in This Notebook$/, /, off here$/],
      [/^Suggest Code in This Language/, /, off here$/],
      [/^Show Code Suggestions While Alt Is Held$/, /, with Alt$/]
    ] as const) {
      for (const expected of [label, null]) {
        await choose(page, entry);
        await (expected ? expect(item(page)).toHaveText(expected) : isUsual());
      }
    }
    await choose(page, /^No Code Suggestions for 5 Minutes$/);
    await expect(item(page)).toHaveText(/, off for 5 minutes$/);
    // The empty cell may have been asked about while they were on.
    const before = await asked(page);
    await page.keyboard.type('import numpy as n');
    await item(page).getByRole('button').click();
    await expect(menu(page)).toContainText('Off for 5 more minutes.');
    await menu(page)
      .getByText(/^Suggest Code Again Now/)
      .click();
    await isUsual();
    expect(await asked(page)).toBe(before);
    await page.keyboard.press('Backspace');
    await page.keyboard.type('n');
    await expectGhost(page, 'p');
    await choose(page, /^Suggest Code$/);
    await expect(page.locator(GHOST)).toHaveCount(0);
    await page.keyboard.press('Tab');
    expect(await source(page)).not.toContain('np');
    await execute(page, 'santajupyter:enable');
  });

  test('is there where the window is narrow', async ({ page }) => {
    const size = page.viewportSize();
    await page.setViewportSize({ width: 480, height: 700 });
    await expect(item(page).getByRole('button')).toBeInViewport();
    if (size) {
      await page.setViewportSize(size);
    }
  });

  test('turns while a request is under way, if motion is welcome', async ({
    page
  }) => {
    let answer = () => {};
    const asked = new Promise<void>(resolve => (answer = resolve));
    await page.route(/santajupyter\/complete/, async route => {
      await asked;
      await route.continue();
    });
    await openCell(page);
    await page.keyboard.insertText('import numpy as n');
    const spinner = item(page).locator('.santa-Spinner');
    await expect(spinner).toHaveCSS('animation-name', 'santa-turn');
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await expect(spinner).toHaveCSS('animation-name', 'none');
    answer();
    await ghostText(page);
    await expect(spinner).toHaveCount(0);
  });

  test('shows how far a download is', async ({ page }) => {
    await page.route(/santajupyter\/status/, async route => {
      const response = await route.fetch();
      const progress = {
        phase: 'downloading',
        done: 42,
        total: 100,
        unit: 'B'
      };
      const json = {
        ...(await response.json()),
        state: 'downloading',
        progress
      };
      await route.fulfill({ json });
    });
    await openPanel(page);
    await expect(item(page)).toHaveText('santa-mini: downloading 42 %');
    await expect(item(page).getByRole('progressbar')).toHaveJSProperty(
      'position',
      0.42
    );
    await expect(
      panel(page).getByRole('progressbar', { name: 'downloading 42 %' })
    ).toBeVisible();
  });
});

test.describe('the panel', () => {
  test('unloads the model and loads it, with the focus staying', async ({
    page
  }) => {
    await openPanel(page);
    const button = panel(page).getByRole('button', { name: /^(Unl|L)oad$/ });
    await expect(button).toHaveText('Unload');
    await button.focus();
    await page.keyboard.press('Enter');
    await expect(button).toHaveText('Load');
    await expect(item(page)).toHaveText('santa-mini: not loaded');
    await expect(button).toBeFocused();
    await page.keyboard.press('Space');
    await expect(item(page)).toHaveText(/^santa-mini \(/, LOADING);
    await expect(panel(page)).toContainText('santa-mini is ready on');
    await expect(row(page, 'Main memory')).toHaveText(/^\d+ MB$/);
  });

  test('switches the model, and back from one that does not load', async ({
    page
  }) => {
    await openPanel(page);
    for (const [model, state] of [
      ['twin', /^twin \(/],
      ['broken', /broken: error/],
      ['santa-mini', /^santa-mini \(cpu/]
    ] as const) {
      await picker(page).selectOption({
        label: await picker(page)
          .locator('option', { hasText: new RegExp(`${model}$`) })
          .innerText()
      });
      // Only the button switches: keys pass through other models on their way.
      await panel(page).getByRole('button', { name: 'Switch' }).click();
      await expect(item(page)).toHaveText(state, LOADING);
      if (model === 'broken') {
        await expect(panel(page).getByRole('status')).toContainText(
          "broken can't be used"
        );
      }
    }
  });

  test('leads from the built-in model to a larger one by one click', async ({
    page
  }) => {
    const asked: unknown[] = [];
    await page.route(/santajupyter\/load/, async route => {
      asked.push(route.request().postDataJSON());
      await route.fulfill({
        json: {
          ...(await (await page.request.get('santajupyter/status')).json()),
          state: 'downloading',
          progress: {
            phase: 'downloading',
            done: 950_000_000,
            total: 2_252_000_000,
            unit: 'B'
          }
        }
      });
    });
    await openPanel(page);
    const offer = panel(page).locator('.santa-Larger');
    await expect(offer).toContainText('completes the rest of a line');
    await expect(offer).toContainText('2.25 GB to download once.');
    await expect(offer).toContainText('About 1.6 GB of memory.');
    await expect(offer.getByRole('link')).toHaveAttribute('href', /license$/);
    await offer.getByRole('button', { name: 'Use SantaCoder' }).click();
    await expect(panel(page)).toContainText('0.95 of 2.25 GB');
    expect(asked).toEqual([{ model: 'bigcode/gpt_bigcode-santacoder' }]);
  });

  test('tells why the server refused to switch', async ({ page }) => {
    await page.route(/santajupyter\/load/, route =>
      route.fulfill({
        status: 403,
        json: { message: 'No.', reason: 'not-allowed' }
      })
    );
    await openPanel(page);
    await picker(page).selectOption({ index: 1 });
    await panel(page).getByRole('button', { name: 'Switch' }).click();
    await expect(panel(page).getByRole('alert')).toHaveText(
      'The server refused: No.'
    );
    await expect(item(page)).toHaveText(/^santa-mini \(/);
  });

  test('switches suggestions off and on, with Enter and Escape as everywhere', async ({
    page
  }) => {
    await openPanel(page);
    const enabled = panel(page).getByRole('checkbox', { name: 'Suggest code' });
    await enabled.focus();
    await page.keyboard.press('Space');
    await expect(enabled).not.toBeChecked();
    await page.keyboard.press('Enter');
    await expect(panel(page)).toBeVisible();
    await panel(page).getByRole('button', { name: 'Close' }).focus();
    await page.keyboard.press('Tab');
    await expect(
      panel(page).getByLabel('Model', { exact: true })
    ).toBeFocused();
    await page.keyboard.press('Escape');
    await openCell(page);
    let asked = 0;
    await page.route(/santajupyter\/complete/, route => {
      asked++;
      return route.continue();
    });
    await page.keyboard.insertText('import numpy as n');
    await page.waitForTimeout(1000);
    expect(asked).toBe(0);
    await openPanel(page);
    await expect(enabled).not.toBeChecked();
    await enabled.click();
    await expect(enabled).toBeChecked();
  });

  test('counts suggestions, and asks before a search for the last text', async ({
    page,
    context
  }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const outside: string[] = [];
    await context.route(/huggingface\.co/, route => {
      outside.push(route.request().url());
      return route.fulfill({ body: 'The search.' });
    });
    // It counts from the page's beginning.
    await page.reload();
    await loadModel(page);
    await openPanel(page);
    await expect(panel(page)).toContainText('0 shown');
    await expect(panel(page)).toContainText('Once you have accepted');
    await page.keyboard.press('Escape');
    await openCell(page);
    await page.keyboard.insertText('import numpy as n');
    const ghost = await ghostText(page);
    await acceptGhost(page);
    await openPanel(page);
    await expect(panel(page)).toContainText('1 accepted');
    const chart = panel(page).getByRole('img', { name: /^Accepted of those/ });
    await expect(chart).toHaveAttribute('aria-label', /1 of \d$/);
    const find = panel(page).getByRole('button', {
      name: /^Look for the last/
    });
    await find.click();
    await expect(find).toHaveAttribute('aria-expanded', 'true');
    await expect(panel(page).locator('pre')).toHaveText(ghost);
    await expect(panel(page)).toContainText('Nothing is sent there until');
    expect(outside).toEqual([]);
    const opened = context.waitForEvent('page');
    await panel(page).getByRole('button', { name: 'Copy and open' }).click();
    await (await opened).waitForLoadState();
    expect(outside).toEqual([
      'https://huggingface.co/spaces/bigcode/santacoder-search'
    ]);
    await page.bringToFront();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
      ghost
    );
  });

  test('opens from the command palette, and the focus returns to the cell', async ({
    page
  }) => {
    await openCell(page);
    await page.keyboard.press('Control+Shift+C');
    await page.keyboard.type('Show the Code Completion Model');
    await page.keyboard.press('Enter');
    await expect(picker(page)).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(page.locator('.jp-Notebook :focus')).toHaveCount(1);
  });
});

function menu(page: IJupyterLabPageFixture): Locator {
  return page.locator('.santa-Menu');
}

/** Chooses an entry of the status item's menu. */
async function choose(
  page: IJupyterLabPageFixture,
  entry: RegExp
): Promise<void> {
  await item(page).getByRole('button').click();
  await menu(page).getByText(entry).click();
  await expect(menu(page)).toHaveCount(0);
}

function item(page: IJupyterLabPageFixture): Locator {
  return page.locator('.santa-StatusItem');
}

async function openPanel(page: IJupyterLabPageFixture): Promise<void> {
  await execute(page, 'santajupyter:status');
  await expect(picker(page)).toBeFocused();
}

function panel(page: IJupyterLabPageFixture): Locator {
  return page.getByRole('dialog', { name: 'Code Completion Model' });
}

function picker(page: IJupyterLabPageFixture): Locator {
  return panel(page).getByRole('combobox', { name: 'Model' });
}

/** What the panel tells under a name. */
function row(page: IJupyterLabPageFixture, name: string): Locator {
  return panel(page).locator(`dt:text-is("${name}") + dd`);
}
