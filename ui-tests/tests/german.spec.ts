import { readFileSync } from 'node:fs';

import { expect, galata, test } from './fixtures';

import { openCell } from './helpers';

const CATALOGUE = JSON.parse(
  readFileSync(
    '../santajupyter/locale/de_DE/LC_MESSAGES/santajupyter.json',
    'utf-8'
  )
);

test.use({
  fresh: true,
  mockSettings: {
    ...galata.DEFAULT_SETTINGS,
    '@jupyterlab/translation-extension:plugin': { locale: 'de_DE' }
  }
});

test('menu, panel and settings are German where JupyterLab is', async ({
  page
}) => {
  // As a server answers that has a German language pack.
  await page.route(/\/api\/translations\/de_DE/, route =>
    route.fulfill({ json: { data: { santajupyter: CATALOGUE }, message: '' } })
  );
  await page.goto();
  await openCell(page);
  await page.locator('.santa-StatusItem button').click();
  const menu = page.locator('.santa-Menu');
  await expect(menu).toContainText('5 Minuten lang keine Code-Vorschläge');
  await menu.getByText('Code in dieser Sprache vorschlagen (python)').waitFor();
  await menu.getByText('Modell für Code-Vervollständigung anzeigen').click();
  const panel = page.locator('.santa-Panel');
  await expect(panel).toContainText('Vorschläge, seit diese Seite geöffnet');
  await expect(panel.getByRole('button', { name: 'Schließen' })).toBeVisible();
  await page.keyboard.press('Escape');
  await page.evaluate(() =>
    window.jupyterapp.commands.execute('settingeditor:open', {
      query: 'SantaJupyter'
    })
  );
  const editor = page.locator('.jp-SettingsPanel');
  await expect(editor).toContainText('Verzögerung beim Tippen');
  await expect(
    editor.locator('option', { hasText: 'Automatisch' })
  ).toHaveCount(1);
});
