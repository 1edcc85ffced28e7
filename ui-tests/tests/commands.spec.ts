import { expect, type IJupyterLabPageFixture, test } from './fixtures';
import type { Route } from '@playwright/test';

import {
  aroundCursor,
  countRequests,
  execute,
  GHOST,
  ghostText,
  loadForBlocks,
  loadModel,
  openFile,
  expectGhost,
  openNotebook,
  source,
  writeAsSomeoneElse,
  writeCell
} from './helpers';

const DOCSTRING = 'santajupyter:docstring';
const COMPLETE = 'santajupyter:complete-here';
const GENERATE = 'santajupyter:generate';

test('with the built-in model they say what they need, and lead to it', async ({
  page
}) => {
  await loadModel(page);
  await openNotebook(page, ['def mean(xs):|\n    return sum(xs) / len(xs)']);
  const count = countRequests(page);
  await choose(
    page,
    '.jp-CodeCell .cm-content',
    'Write Docstring (needs a larger model)'
  );
  await expectMessage(
    page,
    'santa-mini completes the rest of a line; this needs a larger model.'
  );
  for (const command of [DOCSTRING, COMPLETE, GENERATE]) {
    await execute(page, command);
  }
  await page.getByRole('button', { name: 'Choose a Model' }).first().click();
  const panel = page.getByRole('dialog', { name: 'Code Completion Model' });
  await expect(panel.getByRole('button', { name: /^Use / })).toBeVisible();
  expect(count()).toBe(0);
});

test.describe('with a model for blocks', () => {
  test.beforeEach(({ page }) => loadForBlocks(page));

  test('a docstring is what the server says, or word that it has none', async ({
    page
  }) => {
    await openNotebook(page, ['def mean(xs):|\n    return sum(xs) / len(xs)']);
    const answered = page.waitForResponse(/santajupyter\/docstring/);
    await execute(page, DOCSTRING);
    const { text, message } = await (await answered).json();
    expect(text || message).toMatch(
      /^ {4}"""|^The model has no words for mean/
    );
    if (text) {
      expect(await ghostText(page)).toBe('\n' + text.slice(0, -1));
    } else {
      await expectMessage(page, message);
    }
    expect(await source(page)).toMatch(/^def mean\(xs\):\n {4}return/);
  });

  test('the cursor is in no function', async ({ page }) => {
    await openNotebook(page, ['def f(x):\n    return x\n', 'x = 1|']);
    await execute(page, DOCSTRING);
    await expectMessage(page, 'The cursor is in no function.');
  });

  test('code is generated from the context menu', async ({ page }) => {
    await openNotebook(page, ['# arrays|']);
    await choose(page, '.jp-CodeCell .cm-content', 'Generate from Comment');
    expect(await ghostText(page)).toMatch(/^\n\s*\S/);
    await acceptAndUndo(page);
  });

  test('a file has the commands too', async ({ page }) => {
    await openFile(page);
    await page.keyboard.insertText('import numpy as n');
    await choose(page, '.jp-FileEditor .cm-content', 'Complete Here');
    expect(await ghostText(page)).toMatch(/^\S/);
    await page.keyboard.press('Tab');
    await expect(page.locator('.jp-FileEditor .cm-content')).toContainText(
      'import numpy as np'
    );
  });
});

test.describe('with a scripted answer', () => {
  test.beforeEach(({ page }) => loadForBlocks(page));

  const cases = [
    {
      name: 'Complete Here in mid-line, with suggestions while typing off',
      command: COMPLETE,
      cells: ["'🎅'", "hat = '🎅'; x = sum(|) + 1"],
      text: 'n\n    for n in y\n',
      asked: ["hat = '🎅'; x = sum(", ') + 1'],
      ghost: 'n\n    for n in y\n'
    },
    {
      name: 'Complete Here on a blank line',
      command: COMPLETE,
      cells: ['def f():\n\t|\n\nf()'],
      text: 'x = 1\n\treturn x',
      asked: ['def f():\n\t', '\n\nf()'],
      ghost: 'x = 1\n\treturn x'
    },
    {
      name: 'Generate from Comment below all of the comment',
      command: GENERATE,
      cells: ["if '🎅':\n    # the |mean\n    # of xs: 🎄\n    print(m)"],
      text: 'm = sum(xs) / len(xs)',
      asked: [
        "if '🎅':\n    # the mean\n    # of xs: 🎄\n    ",
        '\n    print(m)'
      ],
      ghost: '\n    m = sum(xs) / len(xs)'
    },
    {
      name: 'Generate from Comment on the line below one',
      command: GENERATE,
      cells: ['def f(x):\n\t# half\n\n|'],
      text: 'return x / 2',
      asked: ['def f(x):\n\t# half\n\n\t', ''],
      ghost: '\treturn x / 2'
    }
  ];

  for (const { name, command, cells, text, asked, ghost } of cases) {
    test(name, async ({ page }) => {
      await execute(page, 'santajupyter:toggle');
      const requests = await answer(page, text);
      await openNotebook(page, cells);
      await execute(page, command);
      expect(await ghostText(page)).toBe(ghost);
      expect(requests).toEqual([asked]);
      await acceptAndUndo(page);
    });
  }

  test('a docstring goes below the header', async ({ page }) => {
    const above =
      "hat = '🎅'\nclass Sleigh:\n\tasync def fly(\n\t\tself,\n\t):";
    const below = '\n\t\treturn 1\n';
    const text = '\t\t"""Fly: 🎄.\n\n\t\tAway.\n\t\t"""\n';
    await page.route(/santajupyter\/docstring/, route => {
      const { cells, active, offset } = route.request().postDataJSON();
      expect(cells[active].source).toBe(above + below);
      // One emoji is two of JavaScript's characters.
      expect(offset).toBe(above.length + 3 - 1);
      const at = above.length;
      return route.fulfill({ json: { name: 'fly', at, text, message: '' } });
    });
    await openNotebook(page, [
      'import os',
      above + below.replace('\t\tr', '\t\t|r')
    ]);
    await execute(page, DOCSTRING);
    expect(await ghostText(page)).toBe('\n' + text.slice(0, -1));
    expect(await aroundCursor(page)).toEqual([above, below]);
    await acceptAndUndo(page);
  });

  test('there is no docstring', async ({ page }) => {
    const message = 'The model has no words for f.';
    await page.route(/santajupyter\/docstring/, route =>
      route.fulfill({ json: { name: 'f', at: 10, text: '', message } })
    );
    await openNotebook(page, ['def f(x):|\n    return x']);
    await execute(page, DOCSTRING);
    await expectMessage(page, message);
    await expect(page.locator(GHOST)).toHaveCount(0);
  });

  test('Generate from Comment takes the selected one', async ({ page }) => {
    await answer(page, 'b = 2');
    await openNotebook(page, ['# a\na = 1\n# b|\nc = 3\n# d']);
    await page.keyboard.press('Shift+Home');
    await execute(page, GENERATE);
    expect(await ghostText(page)).toBe('\nb = 2');
    await acceptAndUndo(page);
  });

  test('nothing is left of a ghost that is not accepted', async ({ page }) => {
    await answer(page, 'x = 1');
    await openNotebook(page, ['# x|']);
    await execute(page, GENERATE);
    await ghostText(page);
    await page.keyboard.press('ArrowLeft');
    await expect(page.locator(GHOST)).toHaveCount(0);
    expect(await source(page)).toBe('# x');
  });

  test('there is nothing to show', async ({ page }) => {
    await answer(page, '');
    await openNotebook(page, ['x = 1|']);
    await execute(page, COMPLETE);
    await expectMessage(page, 'The model had nothing to add.');
    await execute(page, GENERATE);
    await expectMessage(page, 'There is no comment at the cursor');
  });
});

test.describe('while the model works', () => {
  test.beforeEach(({ page }) => loadForBlocks(page));

  test('Escape ends it and does nothing else', async ({ page }) => {
    const held = await hold(page, ['x = |']);
    await page.keyboard.press('Escape');
    await expect.poll(() => held.ended()).toBe(true);
    await expect(page.locator('.jp-Notebook.jp-mod-editMode')).toBeVisible();
    await page.keyboard.type('2');
    expect(await source(page)).toBe('x = 2');
  });

  test('typing ends it', async ({ page }) => {
    const held = await hold(page, ['x = |']);
    await page.keyboard.type('2');
    await expect.poll(() => held.ended()).toBe(true);
    expect(await source(page)).toBe('x = 2');
  });

  test('moving the cursor makes its answer void', async ({ page }) => {
    const held = await hold(page, ['x = |']);
    await page.keyboard.press('ArrowLeft');
    await held.answer('1');
    await expectMessage(page, 'You went on before the model had answered.');
    await expect(page.locator(GHOST)).toHaveCount(0);
    expect(await source(page)).toBe('x = ');
  });

  test('what others write elsewhere only moves it', async ({ page }) => {
    const held = await hold(page, ['import os', 'a = 1\nx = |\nprint(x)']);
    await writeAsSomeoneElse(page, 0, 0, '# All\n');
    await writeCell(page, 0, 'import sys');
    await held.answer('2');
    await expectGhost(page, '2');
    await page.keyboard.press('Tab');
    await expect.poll(() => source(page)).toBe('# All\na = 1\nx = 2\nprint(x)');
  });

  test('what others write in its line makes its answer void', async ({
    page
  }) => {
    const held = await hold(page, ['a = 1\nx = |']);
    await writeAsSomeoneElse(page, 6, 7, 'total');
    await held.answer('2');
    await expectMessage(page, 'Somebody else changed this text');
    await expect(page.locator(GHOST)).toHaveCount(0);
  });

  test('a docstring goes where others have moved its function', async ({
    page
  }) => {
    const header = 'def fly(hat):';
    let held: Route | null = null;
    await page.route(/santajupyter\/docstring/, route => {
      held = route;
    });
    await openNotebook(page, [`${header}\n    return |hat`]);
    void execute(page, DOCSTRING);
    await expect.poll(() => held).not.toBeNull();
    await writeAsSomeoneElse(page, 0, 0, 'import os\n');
    const text = '    """Fly."""\n';
    const json = { name: 'fly', at: header.length + 1, text, message: '' };
    await (held as unknown as Route).fulfill({ json });
    await expectGhost(page, '\n    """Fly."""');
    await page.keyboard.press('Tab');
    await expect
      .poll(() => source(page))
      .toBe(`import os\n${header}\n    """Fly."""\n    return hat`);
  });
});

/** Answers what a command asks with the text; the requests, as the active cell's text around the cursor. */
async function answer(
  page: IJupyterLabPageFixture,
  text: string
): Promise<string[][]> {
  const requests: string[][] = [];
  await page.route(/santajupyter\/complete/, route => {
    const { cells, active, offset, trigger } = route.request().postDataJSON();
    const isCommand = trigger === 'invoke';
    if (isCommand) {
      const characters = Array.from<string>(cells[active].source);
      requests.push([
        characters.slice(0, offset).join(''),
        characters.slice(offset).join('')
      ]);
    }
    return fulfill(route, isCommand ? text : '');
  });
  return requests;
}

/** Runs Complete Here in such cells; its answer is held back. */
async function hold(page: IJupyterLabPageFixture, cells: string[]) {
  let held: Route | null = null;
  let hasEnded = false;
  await page.route(/santajupyter\/complete/, route => {
    if (held) {
      return fulfill(route, '');
    }
    held = route;
  });
  page.on('requestfailed', request => {
    hasEnded ||= request === held?.request();
  });
  await openNotebook(page, cells);
  void execute(page, COMPLETE);
  await expect.poll(() => held).not.toBeNull();
  return {
    answer: (text: string) => fulfill(held as unknown as Route, text),
    ended: () => hasEnded
  };
}

function fulfill(route: Route, text: string): Promise<void> {
  const item = { text, finish_reason: 'stop', logprob: -0.1 };
  return route.fulfill({ json: { items: [item] } });
}

/** Accepts the ghost, which is then in the text; undone in one step, the text is as before. */
async function acceptAndUndo(page: IJupyterLabPageFixture): Promise<void> {
  const ghost = await ghostText(page);
  const [left, right] = await aroundCursor(page);
  await page.keyboard.press('Tab');
  await expect.poll(() => source(page)).toBe(left + ghost + right);
  await page.keyboard.press('Control+z');
  await expect.poll(() => source(page)).toBe(left + right);
}

async function choose(
  page: IJupyterLabPageFixture,
  selector: string,
  item: string
): Promise<void> {
  await page.locator(selector).last().click({ button: 'right' });
  await page.locator('.lm-Menu-item', { hasText: 'SantaJupyter' }).hover();
  await page.locator('.lm-Menu-item', { hasText: item }).click();
}

async function expectMessage(
  page: IJupyterLabPageFixture,
  text: string
): Promise<void> {
  await expect(toast(page, text)).toBeVisible();
}

function toast(page: IJupyterLabPageFixture, text: string) {
  return page.locator('.Toastify__toast', { hasText: text });
}
