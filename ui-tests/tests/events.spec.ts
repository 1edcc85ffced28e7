import { expect, type IJupyterLabPageFixture, test } from './fixtures';

import { useEngine } from './engine';
import {
  acceptGhost,
  execute,
  expectGhost,
  GHOST,
  loadModel,
  openCell
} from './helpers';

const HOW = {
  trigger: 'automatic',
  mode: 'auto',
  model: 'santa-mini',
  language: 'python',
  lines: 1,
  milliseconds: expect.any(Number)
};

test('the event logger hears what became of suggestions, without their text', async ({
  page
}) => {
  await loadModel(page);
  await useEngine(page, {
    script: [
      ['import numpy as n', 'p_secret'],
      ['x = ', 'y_secret + z']
    ]
  });
  await openCell(page);
  const heard = await listen(page);
  await page.keyboard.type('import numpy as n');
  await acceptGhost(page);
  await page.keyboard.type('\nx = ');
  await expectGhost(page, 'y_secret + z');
  await page.keyboard.press('Control+ArrowLeft');
  await expect(page.locator(GHOST)).toHaveCount(0);
  await expect
    .poll(heard)
    .toEqual([
      expect.objectContaining({ ...HOW, action: 'shown', characters: 8 }),
      expect.objectContaining({ ...HOW, action: 'accepted', characters: 8 }),
      expect.objectContaining({ ...HOW, action: 'shown', characters: 12 }),
      expect.objectContaining({ ...HOW, action: 'dismissed', characters: 12 })
    ]);
  expect(JSON.stringify(await heard())).not.toMatch(/secret|ipynb/);
});

test('a server that wants no events, or refuses one, gets no more', async ({
  page
}) => {
  let wants = false;
  await page.route(/santajupyter\/(status|load)/, async route => {
    const response = await route.fetch();
    const json = { ...(await response.json()), emit_events: wants };
    await route.fulfill({ json });
  });
  const posts: string[] = [];
  await page.route(/\/api\/events\b/, route => {
    posts.push(route.request().postDataJSON().data.action);
    return route.fulfill({ status: 403, json: { message: 'Forbidden' } });
  });
  await loadModel(page);
  await useEngine(page, {
    script: ['abcd', 'efgh', 'ijkl'].map(text => [text, ' = 1'])
  });
  await openCell(page);
  await page.keyboard.type('abcd');
  await expectGhost(page, ' = 1');
  wants = true;
  await execute(page, 'santajupyter:load');
  for (const text of ['\nefgh', '\nijkl']) {
    await page.keyboard.type(text);
    await expectGhost(page, ' = 1');
    await acceptGhost(page);
  }
  expect(posts).toHaveLength(1);
});

/** What the server's event logger tells of suggestions from now on. */
async function listen(
  page: IJupyterLabPageFixture
): Promise<() => Promise<unknown[]>> {
  const heard = await page.evaluateHandle(() => {
    const events: unknown[] = [];
    window.jupyterapp.serviceManager.events.stream.connect((_, event) => {
      if (/santajupyter/.test(event.schema_id)) {
        events.push(event);
      }
    });
    return events;
  });
  return () => heard.jsonValue();
}
