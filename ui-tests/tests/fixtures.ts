import {
  galata,
  type IJupyterLabPageFixture,
  test as base
} from '@jupyterlab/galata';
import type { Page } from '@playwright/test';

import { installEngine } from './engine';
import { execute } from './helpers';

export {
  expect,
  galata,
  type IJupyterLabPageFixture
} from '@jupyterlab/galata';

interface IOptions {
  /** For a test of the page's beginning: it goes to a page of its own itself, which is closed after it. */
  fresh: boolean;
}

interface IKept {
  page: Page | null;
}

/**
 * Galata's test, but a worker keeps its page: to load JupyterLab takes longer than most tests. Each gets
 * it with no document open, no kernel, with its own `mockSettings`, and without the routes of the one
 * before.
 */
export const test = base.extend<IOptions, { kept: IKept }>({
  fresh: [false, { option: true }],
  kept: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const kept: IKept = { page: null };
      await use(kept);
      await kept.page?.context().close();
    },
    { scope: 'worker' }
  ],
  page: async (
    {
      appPath,
      baseURL,
      browser,
      fresh,
      kept,
      kernels,
      mockConfig,
      mockSettings,
      mockState,
      mockUser,
      sessions,
      terminals,
      waitForApplication
    },
    use
  ) => {
    const isLoaded = !fresh && kept.page !== null;
    const raw = (!fresh && kept.page) || (await newPage(browser.newContext()));
    const page = (await galata.initTestPage(
      appPath,
      false,
      baseURL as string,
      mockConfig,
      mockSettings,
      mockState,
      mockUser,
      raw,
      sessions,
      terminals,
      '',
      waitForApplication,
      kernels
    )) as IJupyterLabPageFixture;
    if (isLoaded) {
      await reloadSettings(page, mockSettings);
    } else if (!fresh) {
      await page.goto();
      kept.page = raw;
    }
    await use(page);
    if (fresh) {
      await raw.context().close();
    } else {
      await clear(page);
      // Galata's page is a proxy, on which this would forget nothing.
      await raw.unrouteAll({ behavior: 'ignoreErrors' });
    }
  },
  context: ({ page }, use) => use(page.context())
});

async function newPage(
  opened: ReturnType<
    Parameters<typeof galata.newPage>[0]['browser']['newContext']
  >
): Promise<Page> {
  const context = await opened;
  await context.addInitScript(installEngine);
  // What is told once in a browser has been told.
  await context.addInitScript(() =>
    localStorage.setItem('santajupyter:hint-seen', 'true')
  );
  return context.newPage();
}

/** The page's settings become those of the mock, which knows no others than this test's. */
async function reloadSettings(
  page: IJupyterLabPageFixture,
  mocked: boolean | Record<string, unknown>
): Promise<void> {
  await page.evaluate(
    async mocked => {
      const registry = await window.galata.getPlugin(
        '@jupyterlab/apputils-extension:settings'
      );
      // The mock answers for what it has listed.
      await window.jupyterapp.serviceManager.settings.list();
      const isSame = (one: unknown, other: unknown) =>
        JSON.stringify(one) === JSON.stringify(other);
      for (const [id, plugin] of Object.entries(registry?.plugins ?? {})) {
        if (plugin && !isSame(plugin.data.user, mocked[id] ?? {})) {
          await registry?.reload(id);
        }
      }
    },
    (typeof mocked === 'object' ? mocked : {}) as Record<string, never>
  );
}

/** Closes all that a test may have opened, before its kernels end. */
async function clear(page: IJupyterLabPageFixture): Promise<void> {
  const context = page.context();
  for (const other of context.pages().slice(1)) {
    await other.close();
  }
  // The other one had the focus.
  await page.bringToFront();
  await context.setOffline(false);
  await context.clearPermissions();
  await context.unrouteAll({ behavior: 'ignoreErrors' });
  await page.emulateMedia({ reducedMotion: null });
  await page.evaluate(() => {
    window.engine.isOn = false;
    document
      .querySelectorAll<HTMLElement>('.jp-Dialog-button:first-child')
      .forEach(button => button.click());
    document
      .querySelectorAll<HTMLElement>('.jp-Notification-Toast-Close')
      .forEach(button => button.click());
    for (const widget of [...window.jupyterapp.shell.widgets('main')]) {
      widget.dispose();
    }
  });
  // Panel, menus and palette.
  await page.keyboard.press('Escape');
  await execute(page, 'filebrowser:go-to-path', { path: '/' });
}
