const baseConfig = require('@jupyterlab/galata/lib/playwright-config');

// The server reads it too: two checkouts can be tested side by side.
const PORT = (process.env.SANTA_TEST_PORT ||= '18889');
const URL = `http://localhost:${PORT}`;

module.exports = {
  ...baseConfig,
  testDir: 'tests',
  reporter: 'list',
  workers: 1,
  // Where a machine is so busy that a click goes amiss; the second command names those that needed it.
  retries: 1,
  // On a busy machine all takes several times as long.
  timeout: 240_000,
  expect: { timeout: 30_000 },
  // Where all fail, each takes its whole time: a few tell enough.
  maxFailures: 5,
  globalTimeout: 3_000_000,
  use: {
    ...baseConfig.use,
    baseURL: URL,
    // Both want a video encoder that only Playwright's own browsers bring.
    video: 'off',
    trace: 'off',
    launchOptions: {
      // Empty: the browser that Playwright itself installed.
      executablePath:
        (process.env.CHROMIUM ?? '/usr/bin/chromium') || undefined,
      args: [
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run'
      ]
    }
  },
  webServer: {
    command: 'jupyter lab --config jupyter_server_test_config.py',
    // Of kernels that a test ends before they are up.
    stderr: 'ignore',
    url: `${URL}/lab`,
    timeout: 120_000,
    reuseExistingServer: false
  }
};
