import { expect, galata, type IJupyterLabPageFixture, test } from './fixtures';

import { asked, useEngine, type IEngine } from './engine';
import { expectGhost, GHOST, loadModel, openCell, source } from './helpers';

const SETTINGS = '@jupyterlab/apputils-extension:settings';
/** Milliseconds that the model reads. */
const READS = 1500;
const MODELS: IEngine['script'] = [['total = ', 'sum(values)']];
const SAME: IEngine['meanwhile'] = [['total = ', 'sum(values)']];
const BEGINNING: IEngine['meanwhile'] = [['total = ', 'sum(']];
const ANOTHER: IEngine['meanwhile'] = [['total = ', '0']];

test.use({
  mockSettings: {
    ...galata.DEFAULT_SETTINGS,
    'santajupyter:plugin': { emptyCells: false, kernelFacts: false }
  }
});

test('where both say the same nothing moves', async ({ page }) => {
  await begin(page, { script: MODELS, meanwhile: SAME });
  await page.keyboard.insertText('total = ');
  await expectGhost(page, 'sum(values)');
  const seen = await watchGhost(page);
  await page.waitForTimeout(2 * READS);
  expect(await seen()).toEqual(['sum(values)']);
  expect(await asked(page)).toBe(1);
});

for (const [name, meanwhile] of [
  ['goes on', BEGINNING],
  ['is another', ANOTHER]
] as const) {
  test(`the model's text takes over where it ${name}, at once`, async ({
    page
  }) => {
    await begin(page, { script: MODELS, meanwhile });
    await page.keyboard.insertText('total = ');
    await expectGhost(page, meanwhile[0][1]);
    const seen = await watchGhost(page);
    await expectGhost(page, 'sum(values)');
    await page.waitForTimeout(READS);
    // Never without one in between.
    expect(await seen()).toEqual([meanwhile[0][1], 'sum(values)']);
  });
}

test('where the model has nothing to say it goes', async ({ page }) => {
  await begin(page, { script: [], meanwhile: ANOTHER });
  await page.keyboard.insertText('total = ');
  await expectGhost(page, '0');
  await expectGhost(page, '');
});

test('who types into it goes on with it', async ({ page }) => {
  await begin(page, { script: MODELS, meanwhile: SAME });
  await page.keyboard.insertText('total = ');
  await expectGhost(page, 'sum(values)');
  await page.keyboard.type('sum(');
  await expectGhost(page, 'values)');
  await page.waitForTimeout(2 * READS);
  await expectGhost(page, 'values)');
  expect(await asked(page)).toBe(1);
});

test('accepted, what follows it is asked for', async ({ page }) => {
  await begin(page, {
    script: [...MODELS, ['total = 0', ' + 1']],
    meanwhile: ANOTHER
  });
  await page.keyboard.insertText('total = ');
  await expectGhost(page, '0');
  await page.keyboard.press('Tab');
  await expect.poll(() => source(page)).toBe('total = 0');
  await expectGhost(page, ' + 1');
});

test('it can be switched off', async ({ page }) => {
  await begin(page, { script: MODELS, meanwhile: ANOTHER });
  await page.evaluate(async plugin => {
    const registry = await window.galata.getPlugin(plugin);
    await registry?.set('santajupyter:plugin', 'meanwhile', false);
  }, SETTINGS);
  const seen = await watchGhost(page);
  await page.keyboard.insertText('total = ');
  await expectGhost(page, 'sum(values)');
  expect(await seen()).toEqual(['', 'sum(values)']);
});

async function begin(
  page: IJupyterLabPageFixture,
  engine: Parameters<typeof useEngine>[1]
): Promise<void> {
  await loadModel(page);
  await openCell(page);
  await useEngine(page, { ...engine, delay: READS });
}

/** What the ghost shows at each frame from now on, without repetitions. */
async function watchGhost(
  page: IJupyterLabPageFixture
): Promise<() => Promise<string[]>> {
  const handle = await page.evaluateHandle(ghost => {
    const seen: string[] = [];
    const look = () => {
      const parts = [...document.querySelectorAll<HTMLElement>(ghost)];
      const text = parts.map(part => part.innerText).join('');
      if (seen[seen.length - 1] !== text) {
        seen.push(text);
      }
      requestAnimationFrame(look);
    };
    look();
    return seen;
  }, GHOST);
  return () => handle.jsonValue();
}
