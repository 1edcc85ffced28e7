import { expect, type IJupyterLabPageFixture, test } from './fixtures';
import { asked, useEngine } from './engine';
import { execute, expectGhost, openCell } from './helpers';

const PLUGIN = 'santajupyter:plugin';

test.describe('settings of which one is wrong', () => {
  test.use({
    fresh: true,
    mockSettings: { [PLUGIN]: { enabled: false, oldKey: 1, delay: 'slow' } }
  });

  test('leave off what is off, say which, and can be changed', async ({
    page
  }) => {
    await page.goto();
    await expect(page.getByText(/oldKey, delay|delay, oldKey/)).toBeVisible();
    await useEngine(page, { script: [['import numpy as n', 'p']] });
    await openCell(page);
    await page.keyboard.type('import numpy as n');
    await expect(item(page)).toHaveText(/off$/);
    expect(await asked(page)).toBe(0);
    await execute(page, 'santajupyter:enable');
    await expect(item(page)).not.toHaveText(/off$/);
    await page.keyboard.press('Backspace');
    await page.keyboard.type('n');
    await expectGhost(page, 'p');
  });
});

function item(page: IJupyterLabPageFixture) {
  return page.locator('.santa-StatusItem');
}
