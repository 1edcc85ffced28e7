import { expect, galata, type IJupyterLabPageFixture, test } from './fixtures';

import { asked, useEngine, type IEngine } from './engine';
import {
  aroundCursor,
  CALM,
  editCell,
  execute,
  expectGhost,
  GHOST,
  ghostText,
  openCell,
  openFile,
  source
} from './helpers';

const WORD = process.platform === 'darwin' ? 'Control+.' : 'Alt+.';
const LINE = process.platform === 'darwin' ? 'Control+,' : 'Alt+,';
const MEAN: IEngine['script'] = [['mean = ', 'sum(values) / len(values)']];

const SETTINGS = {
  ...galata.DEFAULT_SETTINGS,
  '@jupyterlab/notebook-extension:tracker': {
    codeCellConfig: { autoClosingBrackets: true }
  },
  // JupyterLab shows no list at all where the kernel takes longer than that, by default a second.
  '@jupyterlab/completer-extension:manager': { providerTimeout: 20_000 }
};

test.use({
  mockSettings: {
    ...SETTINGS,
    // A reading of the kernel makes what is known void.
    'santajupyter:plugin': { emptyCells: false, kernelFacts: false }
  }
});

test.describe('one request', () => {
  test.beforeEach(({ page }) => begin(page, { script: MEAN }));

  test('is enough for typing through, back, and again', async ({ page }) => {
    await page.keyboard.insertText('mean = ');
    await expectGhost(page, 'sum(values) / len(values)');
    await page.keyboard.type('sum');
    await expectGhost(page, '(values) / len(values)');
    await press(page, 'Backspace', 3);
    await expectGhost(page, 'sum(values) / len(values)');
    await page.keyboard.type('su');
    await expectGhost(page, 'm(values) / len(values)');
    await page.keyboard.press(WORD);
    await expectGhost(page, '(values) / len(values)');
    expect(await source(page)).toBe('mean = sum');
    expect(await asked(page)).toBe(1);
  });

  test('goes on where the editor closed a bracket by itself', async ({
    page
  }) => {
    await page.keyboard.insertText('mean = ');
    await expectGhost(page, 'sum(values) / len(values)');
    await page.keyboard.type('sum(');
    expect(await aroundCursor(page)).toEqual(['mean = sum(', ')']);
    await expectGhost(page, 'values');
    expect(await asked(page)).toBe(1);
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe('mean = sum(values)');
  });

  test('serves when the user comes back from another cell', async ({
    page
  }) => {
    await page.keyboard.insertText('mean = ');
    await expectGhost(page, 'sum(values) / len(values)');
    await editCell(page, 0);
    await editCell(page, 1);
    await page.keyboard.type('s');
    await expectGhost(page, 'um(values) / len(values)');
    expect(await asked(page)).toBe(1);
  });

  test('is asked anew when another cell changed', async ({ page }) => {
    await page.keyboard.insertText('mean = ');
    await expectGhost(page, 'sum(values) / len(values)');
    await editCell(page, 0);
    await page.keyboard.type('#');
    await editCell(page, 1);
    const before = await asked(page);
    await page.keyboard.type('s');
    await expect.poll(() => asked(page)).toBe(before + 1);
  });

  test('is asked anew when a cell ran', async ({ page }) => {
    await page.keyboard.insertText('mean = ');
    await expectGhost(page, 'sum(values) / len(values)');
    await page.notebook.runCell(0, true);
    await editCell(page, 1);
    const before = await asked(page);
    await page.keyboard.type('s');
    await expect.poll(() => asked(page)).toBe(before + 1);
  });
});

test('text that streams in is never doubled while the user types', async ({
  page
}) => {
  const text = 'abcdefghijklmnopqrstuvwxyz';
  await begin(page, { script: [['x = ', text]], size: 1, delay: 50 });
  await page.keyboard.insertText('x = ');
  for (const letter of text.slice(0, 12)) {
    await expect(page.locator(GHOST)).toHaveText(new RegExp(`^${letter}`), {
      useInnerText: true
    });
    await page.keyboard.type(letter);
    const ghost = await page.locator(GHOST).allInnerTexts();
    const typed = (await source(page)).slice('x = '.length);
    expect(text.startsWith(typed + ghost.join(''))).toBe(true);
  }
  await expectGhost(page, 'mnopqrstuvwxyz');
  expect(await asked(page)).toBe(1);
});

test('a late answer is not shown where the cursor has left', async ({
  page
}) => {
  await begin(page, { script: MEAN, delay: 700 });
  await page.keyboard.insertText('mean = ');
  await expect.poll(() => asked(page)).toBe(1);
  await page.keyboard.press('Home');
  await page.waitForTimeout(CALM);
  await expect(page.locator(GHOST)).toHaveCount(0);
  await page.keyboard.press('Tab');
  expect(await source(page)).toBe('    mean = ');
});

test.describe('accepting', () => {
  const text = 'read(path)\nprint(total + 1)';

  test.beforeEach(async ({ page }) => {
    await begin(page, { script: [['total = ', text]] });
    await page.keyboard.insertText('total = ');
    await expectGhost(page, text);
  });

  test('a word leaves the rest, and one undo takes it back', async ({
    page
  }) => {
    await press(page, WORD, 3);
    await expectGhost(page, ')\nprint(total + 1)');
    expect(await source(page)).toBe('total = read(path');
    await page.keyboard.press('Control+z');
    expect(await source(page)).toBe('total = read(');
    await expectGhost(page, 'path)\nprint(total + 1)');
    await press(page, WORD, 3);
    expect(await source(page)).toBe('total = read(path)\nprint');
    await expectGhost(page, '(total + 1)');
    expect(await asked(page)).toBe(1);
  });

  test('a line leaves the other lines', async ({ page }) => {
    await page.keyboard.press(LINE);
    await expectGhost(page, '\nprint(total + 1)');
    expect(await source(page)).toBe('total = read(path)');
    await page.keyboard.press(LINE);
    expect(await source(page)).toBe(`total = ${text}`);
    await page.keyboard.press('Control+z');
    expect(await source(page)).toBe('total = read(path)');
  });

  test('all of it is undone at once, what was typed before is not', async ({
    page
  }) => {
    await page.keyboard.type('re');
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe(`total = ${text}`);
    await page.keyboard.press('Control+z');
    expect(await source(page)).toBe('total = re');
  });

  test('is told: how much, and what', async ({ page }) => {
    await page.keyboard.press(WORD);
    await expectGhost(page, text.slice('read'.length));
    const toolbar = page.locator('.jp-InlineCompleter');
    await page.locator(GHOST).hover();
    await expect(toolbar).toBeVisible();
    await expect(toolbar).toContainText(WORD.replace('Control', 'Ctrl'));
    await toolbar.locator('[data-command="santajupyter:accept-line"]').click();
    expect(await source(page)).toBe('total = read(path)');
    await expectGhost(page, '\nprint(total + 1)');
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe(`total = ${text}`);
  });

  test('Escape dismisses', async ({ page }) => {
    await page.keyboard.press('Escape');
    await expect(page.locator(GHOST)).toHaveCount(0);
    expect(await source(page)).toBe('total = ');
  });
});

test.describe('an import that a suggestion needs', () => {
  const line = 'import numpy as np';

  test.beforeEach(async ({ page }) => {
    await begin(page, {
      script: [
        ['zeros = ', 'np.zeros(3)'],
        ['np.zeros(3)', '.sum()']
      ],
      imports: [line],
      isAhead: true
    });
    await page.keyboard.insertText('import os\nzeros = ');
    await expectGhost(page, 'np.zeros(3)');
    await expect.poll(() => noteBehindGhost(page)).toBe(`"⊕ ${line}"`);
  });

  test('goes in with it, and one undo takes both back', async ({ page }) => {
    const whole = `import os\n${line}\nzeros = np.zeros(3)`;
    await expect
      .poll(() => page.evaluate(() => window.engine.ahead.map(a => a.source)))
      .toContain(whole);
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe(whole);
    expect(await aroundCursor(page)).toEqual([whole, '']);
    // It was asked for with the import.
    await expectGhost(page, '.sum()');
    expect(await noteBehindGhost(page)).toBe('none');
    const before = await asked(page);
    await page.keyboard.press('Control+z');
    expect(await source(page)).toBe('import os\nzeros = ');
    await expectGhost(page, 'np.zeros(3)');
    expect(await asked(page)).toBe(before);
  });

  test('goes in with the word that it is for', async ({ page }) => {
    await page.keyboard.press(WORD);
    expect(await source(page)).toBe(`import os\n${line}\nzeros = np`);
    await expectGhost(page, '.zeros(3)');
    expect(await noteBehindGhost(page)).toBe('none');
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe(`import os\n${line}\nzeros = np.zeros(3)`);
    await press(page, 'Control+z', 2);
    expect(await source(page)).toBe('import os\nzeros = ');
  });
});

test('an import goes in above a suggestion in an empty cell', async ({
  page
}) => {
  await begin(page, {
    script: [['', 'np.zeros(3)']],
    imports: ['import numpy as np']
  });
  await execute(page, 'santajupyter:invoke');
  await expectGhost(page, 'np.zeros(3)');
  await expect.poll(() => noteBehindGhost(page)).not.toBe('none');
  await page.keyboard.press('Tab');
  const whole = 'import numpy as np\nnp.zeros(3)';
  expect(await source(page)).toBe(whole);
  expect(await aroundCursor(page)).toEqual([whole, '']);
});

test('Escape dismisses in a file, where the cursor stays', async ({ page }) => {
  await useEngine(page, { script: MEAN });
  await openFile(page);
  await page.keyboard.insertText('mean = ');
  await expectGhost(page, 'sum(values) / len(values)');
  await page.keyboard.press('Escape');
  await expect(page.locator(GHOST)).toHaveCount(0);
  await page.keyboard.type('1');
  await expect(page.locator('.cm-line')).toHaveText('mean = 1');
});

test('others are asked for past the last one, and only then', async ({
  page
}) => {
  await begin(page, { script: [['x = ', 'one', 'two', 'one', 'three']] });
  await page.keyboard.insertText('x = ');
  await expectGhost(page, 'one');
  expect(await asked(page)).toBe(1);
  await page.keyboard.press('Alt+]');
  await expectGhost(page, 'two');
  await page.keyboard.press('Alt+]');
  await expectGhost(page, 'three');
  await page.keyboard.press('Alt+]');
  await expectGhost(page, 'one');
  await page.keyboard.press('Alt+[');
  await expectGhost(page, 'three');
  await page.keyboard.type('th');
  await expectGhost(page, 'ree');
  await press(page, 'Backspace', 2);
  await page.keyboard.press('Alt+[');
  await page.keyboard.press('Tab');
  const requests = () =>
    page.evaluate(() =>
      window.engine.asked.map(({ n, temperature }) => [n ?? 1, temperature])
    );
  await expect.poll(requests).toEqual([
    [1, 0],
    [3, 0.8],
    [1, 0]
  ]);
});

test.describe('what follows a suggestion', () => {
  const script: IEngine['script'] = [
    ['total = ', 'sum(values)'],
    ['sum(values)', ' / len(values)'],
    ['total = m', 'ax(values)']
  ];
  const ahead = (page: IJupyterLabPageFixture) =>
    page.evaluate(() => window.engine.ahead);

  test.beforeEach(({ page }) => begin(page, { script, isAhead: true }));

  test('is there when it is accepted', async ({ page }) => {
    await page.keyboard.insertText('total = ');
    await expectGhost(page, 'sum(values)');
    await expect
      .poll(() => ahead(page))
      .toEqual([{ source: 'total = sum(values)', isEnded: false }]);
    await page.keyboard.press('Tab');
    await expectGhost(page, ' / len(values)');
    expect(await source(page)).toBe('total = sum(values)');
    expect(await asked(page)).toBe(1);
    // And so it goes on.
    await expect.poll(async () => (await ahead(page)).length).toBe(2);
  });

  test('is there when it is typed, or accepted word by word', async ({
    page
  }) => {
    await page.keyboard.insertText('total = ');
    await expectGhost(page, 'sum(values)');
    await page.keyboard.press(WORD);
    await expectGhost(page, '(values)');
    await page.keyboard.press(LINE);
    await expectGhost(page, ' / len(values)');
    expect(await asked(page)).toBe(1);
  });

  for (const [how, key] of [
    ['something else is typed', 'm'],
    ['it is dismissed', 'Escape']
  ]) {
    test(`is asked for no more when ${how}`, async ({ page }) => {
      await page.evaluate(() => (window.engine.isHolding = true));
      await page.keyboard.insertText('total = ');
      await expect
        .poll(() => ahead(page))
        .toEqual([{ source: 'total = sum(values)', isEnded: false }]);
      await page.keyboard.press(key);
      // Typing may get another suggestion, and what follows that.
      await expect
        .poll(async () => (await ahead(page))[0])
        .toEqual({ source: 'total = sum(values)', isEnded: true });
    });
  }
});

test.describe('Tab', () => {
  test.beforeEach(({ page }) => begin(page));

  test('indents where there is no ghost text', async ({ page }) => {
    await page.keyboard.insertText('x = 1');
    await expect.poll(() => asked(page)).toBe(1);
    await page.keyboard.press('Home');
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe('    x = 1');
  });

  test('opens and serves the list of completions', async ({ page }) => {
    await page.notebook.runCell(0, true);
    await editCell(page, 1);
    await page.keyboard.insertText('os.getcw');
    await expect.poll(() => asked(page)).toBe(1);
    await page.keyboard.press('Tab');
    await expect(page.locator('.jp-Completer')).toContainText('getcwdb');
    await page.keyboard.press('Enter');
    expect(await source(page)).toBe('os.getcwd');
  });

  test('is the list of completions’ while that is open', async ({ page }) => {
    await page.notebook.runCell(0, true);
    await editCell(page, 1);
    await page.keyboard.insertText('os.ge');
    await expect.poll(() => asked(page)).toBe(1);
    await page.evaluate(() => {
      window.engine.script = [['os.get', 'ghost()']];
    });
    await page.keyboard.press('Tab');
    await expect(page.locator('.jp-Completer')).toBeVisible();
    await page.keyboard.type('t');
    await expect.poll(() => asked(page)).toBe(2);
    await page.waitForTimeout(CALM);
    await expect(page.locator('.jp-Completer')).toBeVisible();
    await page.keyboard.press('Tab');
    expect(await source(page)).toMatch(/^os\.get(?!ghost)/);
  });
});

test.describe('a blank line', () => {
  const script: IEngine['script'] = [
    ['def f():\n    ', 'return 1'],
    ['x = 1\n', 'y = 2']
  ];

  test.beforeEach(({ page }) => begin(page, { script }));

  test('gets a suggestion at its indentation', async ({ page }) => {
    await page.keyboard.insertText('def f():');
    await page.keyboard.press('Enter');
    await expectGhost(page, 'return 1');
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe('def f():\n    return 1');
  });

  test('gets none while the user types', async ({ page }) => {
    await page.keyboard.insertText('x = 1');
    await expect.poll(() => asked(page)).toBe(1);
    for (let i = 0; i < 5; i++) {
      await page.keyboard.press('Enter');
      await page.waitForTimeout(100);
    }
    expect(await asked(page)).toBe(1);
  });

  test('gets one again after Backspace, without a request', async ({
    page
  }) => {
    await page.keyboard.insertText('def f():');
    await page.keyboard.press('Enter');
    await expectGhost(page, 'return 1');
    const before = await asked(page);
    await page.keyboard.type(' ');
    await expect(page.locator(GHOST)).toHaveCount(0);
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Delete');
    await expectGhost(page, 'return 1');
    expect(await asked(page)).toBe(before);
  });
});

test.describe('an empty cell', () => {
  const script: IEngine['script'] = [['', 'import sys']];

  test.use({ mockSettings: SETTINGS });

  test('is asked for once', async ({ page }) => {
    await begin(page, { script });
    await expectGhost(page, 'import sys');
    await editCell(page, 0);
    await editCell(page, 1);
    await expectGhost(page, 'import sys');
    await page.keyboard.press('Tab');
    expect(await source(page)).toBe('import sys');
    const empty = await page.evaluate(() =>
      window.engine.asked.filter(({ cells }) => cells[1].source === '')
    );
    expect(empty.length).toBe(1);
  });

  test('that a run makes or enters is asked for', async ({ page }) => {
    await begin(page, { script });
    await editCell(page, 0);
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.press('Enter');
    await expectGhost(page, 'import sys');
    await page.keyboard.press('Shift+Enter');
    await expectGhost(page, 'import sys');
    await page.keyboard.press('Tab');
    expect(await page.notebook.getCellTextInput(2)).toBe('import sys');
  });

  test.describe('if the user wants it not', () => {
    test.use({
      mockSettings: {
        ...SETTINGS,
        // A reading of the kernel makes what is known void.
        'santajupyter:plugin': { emptyCells: false, kernelFacts: false }
      }
    });

    test('is left alone', async ({ page }) => {
      await begin(page, { script });
      await page.waitForTimeout(CALM);
      expect(await asked(page)).toBe(0);
    });
  });
});

test('a completion in brackets that the editor closed closes them once', async ({
  page
}) => {
  await openCell(page);
  await page.keyboard.insertText('values = [1, 2]\n');
  await page.keyboard.type('print(sorted(val');
  await execute(page, 'inline-completer:invoke');
  const [before, after] = await aroundCursor(page);
  expect(after).toBe('))');
  const ghost = await ghostText(page);
  await page.keyboard.press('Tab');
  expect(await source(page)).toBe(before + ghost + after);
  const opened = ghost.split('(').length;
  expect(ghost.split(')').length).toBe(opened);
});

/** JupyterLab with the scripted engine, and the cursor in an empty second cell. */
async function begin(
  page: IJupyterLabPageFixture,
  engine: Partial<Omit<IEngine, 'invent'>> = {}
): Promise<void> {
  await useEngine(page, engine);
  await execute(page, 'santajupyter:load');
  await expect(page.locator('.santa-StatusItem')).toHaveText(/^santa-mini \(/, {
    timeout: 30_000
  });
  await openCell(page);
  await page.evaluate(() => {
    window.engine.asked = [];
  });
}

/** What the style shows behind the ghost, as CSS has it. */
function noteBehindGhost(page: IJupyterLabPageFixture): Promise<string> {
  return page
    .locator(GHOST)
    .evaluate(ghost => getComputedStyle(ghost, '::after').content);
}

async function press(
  page: IJupyterLabPageFixture,
  key: string,
  times: number
): Promise<void> {
  for (let i = 0; i < times; i++) {
    await page.keyboard.press(key);
  }
}
