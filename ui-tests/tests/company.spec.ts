import type {
  ICompletionProviderManager,
  IInlineCompletionProvider
} from '@jupyterlab/completer';

import { asked, useEngine } from './engine';
import { expect, galata, type IJupyterLabPageFixture, test } from './fixtures';
import {
  CALM,
  execute,
  expectGhost,
  loadModel,
  openCell,
  openFile,
  source,
  writeAsSomeoneElse
} from './helpers';

/** Another provider of inline completions in the page. */
interface IOther {
  calls: number;
  /** How it answers. */
  way: 'nothing' | 'stream' | 'fail' | 'text';
}

declare global {
  interface Window {
    other: IOther;
  }
}

const SANTA = 'santajupyter:plugin';
const COMPLETER = '@jupyterlab/completer-extension:inline-completer';
const OURS = { emptyCells: true, restDelay: 100, kernelFacts: false };

test.use({
  mockSettings: { ...galata.DEFAULT_SETTINGS, [SANTA]: OURS }
});

/** Registers it, once in a page. */
async function meet(
  page: IJupyterLabPageFixture,
  way: IOther['way']
): Promise<void> {
  await page.evaluate(async way => {
    const isKnown = window.other !== undefined;
    window.other = { calls: 0, way };
    if (isKnown) {
      return;
    }
    const app = window.jupyterapp as unknown as {
      pluginRegistry: {
        resolveOptionalService(token: unknown): Promise<unknown>;
        _plugins: Map<string, { provides: { name: string } | null }>;
      };
    };
    const plugins = [...app.pluginRegistry._plugins.values()];
    const token = plugins.find(
      ({ provides }) =>
        provides?.name === '@jupyterlab/completer:ICompletionProviderManager'
    )?.provides;
    const manager = (await app.pluginRegistry.resolveOptionalService(
      token
    )) as ICompletionProviderManager;
    const pause = (ms: number) => new Promise(done => setTimeout(done, ms));
    const provider: IInlineCompletionProvider = {
      name: 'Other',
      identifier: 'other',
      schema: {
        default: { enabled: true, timeout: 5000, debouncerDelay: 0 }
      },
      async fetch() {
        window.other.calls++;
        switch (window.other.way) {
          case 'fail':
            throw new Error('The other one failed.');
          case 'stream':
            return {
              items: [{ insertText: '', isIncomplete: true, token: 'other' }]
            };
          case 'text':
            return { items: [{ insertText: 'theirs' }] };
          default:
            return { items: [] };
        }
      },
      async *stream() {
        for (const insertText of ['', 'th', 'theirs']) {
          await pause(100);
          yield { response: { insertText } };
        }
      }
    };
    manager.registerInlineProvider(provider);
  }, way);
  await page.evaluate(async plugin => {
    // JupyterLab's settings list the providers that there were as it started.
    const registry = await window.galata.getPlugin(
      '@jupyterlab/apputils-extension:settings'
    );
    const { composite } = (await registry?.get(plugin, 'providers')) ?? {};
    await registry?.set(plugin, 'providers', {
      ...(composite as object),
      other: {
        enabled: true,
        timeout: 5000,
        debouncerDelay: 0,
        autoFillInMiddle: false
      }
    });
  }, COMPLETER);
}

function calls(page: IJupyterLabPageFixture): Promise<number> {
  return page.evaluate(() => window.other.calls);
}

test.describe('beside another provider', () => {
  test('only ours is asked where nobody types', async ({ page }) => {
    await loadModel(page);
    await meet(page, 'nothing');
    await useEngine(page, { script: [['x = 1\n', 'y = 2']] });
    await openCell(page);
    await expect.poll(() => asked(page)).toBe(1);
    expect(await calls(page)).toBe(0);
    await page.keyboard.type('x = 1');
    const before = await calls(page);
    expect(before).toBeGreaterThan(0);
    await page.keyboard.press('Enter');
    await expectGhost(page, 'y = 2');
    expect(await calls(page)).toBe(before);
  });

  test('its stream is shown, though it begins with nothing', async ({
    page
  }) => {
    await meet(page, 'stream');
    await useEngine(page);
    await openCell(page);
    await page.keyboard.type('x');
    await expectGhost(page, 'theirs');
    await page.keyboard.press('Tab');
    await expect.poll(() => source(page)).toBe('xtheirs');
  });

  test('Escape in a file is not taken for it', async ({ page }) => {
    await meet(page, 'text');
    await useEngine(page);
    await openFile(page);
    await page.keyboard.type('x');
    await expectGhost(page, 'theirs');
    await page.keyboard.press('Escape');
    await expectGhost(page, 'theirs');
    await page.keyboard.press('Tab');
    // What went in, and its next ghost.
    await expect(page.locator('.jp-FileEditor .cm-line')).toHaveText(
      'xtheirstheirs'
    );
  });

  test('ours is shown where it fails', async ({ page }) => {
    await meet(page, 'fail');
    await useEngine(page, { script: [['x', ' = 1']], delay: 300 });
    await openCell(page);
    await page.keyboard.type('x');
    await expectGhost(page, ' = 1');
  });
});

test.describe('with ours off', () => {
  test.use({
    mockSettings: {
      ...galata.DEFAULT_SETTINGS,
      [SANTA]: { ...OURS, enabled: false }
    }
  });

  test('its own is shown, and nobody is asked at rest', async ({ page }) => {
    await meet(page, 'text');
    await useEngine(page);
    await openCell(page);
    await page.keyboard.type('x');
    await expectGhost(page, 'theirs');
    await page.keyboard.press('Enter');
    const before = await calls(page);
    await page.waitForTimeout(CALM);
    expect([await calls(page), await asked(page)]).toEqual([before, 0]);
  });
});

test.describe('what someone else types', () => {
  test('never asks for me', async ({ page }) => {
    await useEngine(page, { script: [['x', ' = 1']] });
    await openCell(page);
    await page.keyboard.insertText('y\n');
    // For the cell as long as it was empty, too, where that took its time.
    await page.waitForTimeout(CALM);
    const before = await asked(page);
    await writeAsSomeoneElse(page, 2, 2, 'x');
    await page.waitForTimeout(CALM);
    expect(await asked(page)).toBe(before);
    await expectGhost(page, '');
  });

  test('elsewhere in the cell leaves my ghost, which still goes in where it stands', async ({
    page
  }) => {
    await useEngine(page, { script: [['total = ', 'sum(values)']] });
    await openCell(page);
    await page.keyboard.insertText('a = 1\ntotal = ');
    await expectGhost(page, 'sum(values)');
    const before = await asked(page);
    await writeAsSomeoneElse(page, 0, 0, 'import os\n');
    await page.waitForTimeout(CALM);
    await expectGhost(page, 'sum(values)');
    await page.keyboard.type('su');
    await expectGhost(page, 'm(values)');
    expect(await asked(page)).toBe(before);
    await page.keyboard.press('Tab');
    await expect
      .poll(() => source(page))
      .toBe('import os\na = 1\ntotal = sum(values)');
  });

  for (const [where, text, line, ghost] of [
    ['in a line', 'a = 1\ntotal = ', 'total = ', 'sum(values)'],
    ['on a blank line', 'a = 1\n', '1\n', 'total = 0']
  ]) {
    test(`elsewhere in the cell leaves what I wait for ${where}`, async ({
      page
    }) => {
      await useEngine(page, { script: [[line, ghost]], delay: 1_000 });
      await openCell(page);
      await page.keyboard.insertText(text);
      await expect.poll(() => asked(page)).toBeGreaterThan(0);
      await writeAsSomeoneElse(page, 0, 0, 'import os\n');
      await expectGhost(page, ghost);
      await page.keyboard.press('Tab');
      await expect.poll(() => source(page)).toBe(`import os\n${text}${ghost}`);
    });
  }

  test('in my line ends my ghost', async ({ page }) => {
    await useEngine(page, { script: [['total = ', 'sum(values)']] });
    await openCell(page);
    await page.keyboard.insertText('total = ');
    await expectGhost(page, 'sum(values)');
    await writeAsSomeoneElse(page, 0, 5, 'whole');
    await expectGhost(page, '');
  });
});

test('turning suggestions off ends the ghost', async ({ page }) => {
  await useEngine(page, { script: [['total = ', 'sum(values)']] });
  await openCell(page);
  await page.keyboard.insertText('total = ');
  await expectGhost(page, 'sum(values)');
  await execute(page, 'santajupyter:toggle-notebook');
  await expectGhost(page, '');
  await page.keyboard.press('Tab');
  expect(await source(page)).not.toContain('sum(values)');
});

test('who asks and gets nothing is told why', async ({ page }) => {
  const hint = page.locator('.santa-CursorNote');
  await useEngine(page, { script: [['y = ', '2']] });
  await openCell(page);
  await page.keyboard.insertText('x');
  await expect.poll(() => asked(page)).toBeGreaterThan(0);
  await page.keyboard.press('Alt+\\');
  await expect(hint).toHaveText('Nothing likely enough to suggest.');
  await page.keyboard.press('Shift+Home');
  await expect(hint).toHaveText('');
  await page.keyboard.press('Alt+\\');
  await expect(hint).toHaveText('Nothing is suggested while text is selected.');
  await page.keyboard.press('ArrowLeft');
  await execute(page, 'santajupyter:toggle-notebook');
  await page.keyboard.press('Alt+\\');
  await expect(hint).toHaveText('Off in this notebook.');
});
