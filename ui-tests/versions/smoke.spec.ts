import {
  type Browser,
  expect,
  type Locator,
  type Page,
  test as base
} from '@playwright/test';

/**
 * That all of it works in a version of JupyterLab and of Notebook, in any browser: with nothing but
 * what a user has, since Galata belongs to one version.
 */

const GHOST =
  '.jp-GhostText:not(.jp-GhostText-lineSpacer):not(.jp-GhostText-letterSpacer)';
/** JupyterLab's word on a busy machine. */
const SLOWNESS = /^Plugin .* to activate\.$/;
/** A pre-release fits no range of versions, which its page says of each extension's packages. */
const PRERELEASE = /version[^]*-(alpha|beta|rc)\.\d+ from CORE_FEDERATION/;
const FILE = 'smoke.ipynb';

const test = base.extend<object, { browser: Browser }>({
  browser: [
    async ({ browser, browserName }, use) => {
      if (browserName === 'firefox') {
        letLackMedia(browser);
      }
      await use(browser);
    },
    { scope: 'worker' }
  ]
});

let page: Page;
/** Warnings and errors of ours in the console. */
let said: string[];

test.afterEach(() => expect(said).toEqual([]));
test.afterAll(() => page.close());

test.describe('JupyterLab', () => {
  test.beforeAll(async ({ browser }) => {
    await openNotebook(browser, `/lab/tree/${FILE}`);
    await expect(
      page.locator('.jp-Notebook-ExecutionIndicator')
    ).toHaveAttribute('data-status', 'idle');
  });
  test.beforeEach(addCell);

  test('shows ghost text, which Tab accepts', acceptGhost);

  test('dismisses with Alt+/, and asks with Alt+\\', async () => {
    await page.keyboard.type('import pandas as p');
    await expect(ghost()).toHaveText('d');
    await page.keyboard.press('Alt+/');
    await expect(ghost()).toHaveCount(0);
    await page.keyboard.press('Alt+\\');
    await expect(ghost()).toHaveText('d');
  });

  test("keeps JupyterLab's own completer on Tab", async () => {
    await page.keyboard.type('re');
    await expect(async () => {
      // JupyterLab waits a second for the kernel, whose first answer may take longer.
      await page.keyboard.press('Tab');
      await expect(page.locator('.jp-Completer')).toContainText('repr', {
        timeout: 3000
      });
    }).toPass();
    await page.keyboard.press('Enter');
    await expect(cell()).not.toHaveText('re');
  });

  test('has its item in the status bar, with the menu and the panel', async () => {
    await choose('Show the Code Completion Model');
    const panel = page.getByRole('dialog');
    await expect(panel).toContainText('santa-mini');
    await expect(panel.locator(':focus')).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(panel).toHaveCount(0);
  });

  // The last: the notebook isn't in front after it.
  test('has its settings in the editor of settings', async () => {
    await choose('Settings…');
    const editor = page.locator('#setting-editor');
    await expect(editor.getByLabel('Only when sure')).toBeVisible();
    const faults = editor
      .locator('.validationErrors')
      .filter({ hasText: /\S/ });
    await expect(faults).toHaveCount(0);
  });
});

test.describe('Notebook', () => {
  test.beforeAll(({ browser }) => openNotebook(browser, `/notebooks/${FILE}`));
  test.beforeEach(addCell);

  test('shows ghost text, which Tab accepts', acceptGhost);
});

async function acceptGhost(): Promise<void> {
  await page.keyboard.type('import numpy as n');
  await expect(ghost()).toHaveText('p');
  await page.keyboard.press('Tab');
  await expect(ghost()).toHaveCount(0);
  await expect(cell()).toHaveText('import numpy as np');
}

/** Chooses it in the menu of the item in the status bar. */
async function choose(label: string): Promise<void> {
  await page.locator('.santa-StatusItem-content').click();
  await page.getByRole('menu').getByText(label).click();
}

/** Another cell, with the cursor in it. */
async function addCell(): Promise<void> {
  const cells = page.locator('.jp-Notebook .jp-Cell');
  const count = await cells.count();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await page.keyboard.press('b');
  await expect(cells).toHaveCount(count + 1);
  await cells.last().locator('.cm-content').click();
  await expect(cell()).toBeFocused();
  await expect(cell()).toHaveText('');
}

/** Loads a page with a notebook. */
async function openNotebook(browser: Browser, url: string): Promise<void> {
  page = await browser.newPage();
  said = ourLines(page);
  const cells = [
    {
      cell_type: 'code',
      execution_count: null,
      id: 'one',
      metadata: {},
      outputs: [],
      source: ''
    }
  ];
  const metadata = {
    kernelspec: {
      name: 'python3',
      display_name: 'Python 3',
      language: 'python'
    },
    language_info: { name: 'python' }
  };
  await page.request.put(`/api/contents/${FILE}`, {
    data: {
      type: 'notebook',
      content: { cells, metadata, nbformat: 4, nbformat_minor: 5 }
    }
  });
  await page.goto(url);
  await page.locator('.jp-Cell .cm-content').click();
  await expect(page.locator('.jp-mod-completer-enabled')).toBeVisible();
}

/** What goes to the console from now on that tells of a fault of ours. */
function ourLines(page: Page): string[] {
  const lines: string[] = [];
  const isOurs = (text: string) => /santa/i.test(text);
  page.on('console', message => {
    const text = message.text();
    if (
      ['warning', 'error'].includes(message.type()) &&
      isOurs(text + message.location().url) &&
      !SLOWNESS.test(text) &&
      !PRERELEASE.test(text)
    ) {
      lines.push(text);
    }
  });
  page.on('pageerror', error => {
    if (isOurs(`${error.stack}`)) {
      lines.push(`${error.stack}`);
    }
  });
  return lines;
}

function cell(): Locator {
  return page.locator('.jp-Cell.jp-mod-active .cm-content');
}

function ghost(): Locator {
  return page.locator(GHOST);
}

/** Playwright wants of any Firefox to emulate media features, which older ones can't. */
function letLackMedia(browser: Browser): void {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const session = (browser as any)._connection.toImpl(browser)._browserSession;
  const prototype = Object.getPrototypeOf(session);
  const { send } = prototype;
  prototype.send = function (method: string, ...args: unknown[]) {
    return method === 'emulation.setMediaFeaturesOverride'
      ? Promise.resolve({})
      : send.call(this, method, ...args);
  };
}
