// The Python of the environment with the JupyterLab to test: see make_environment.py.
const PYTHON = process.env.SANTA_TEST_PYTHON;
const PORT = (process.env.SANTA_TEST_PORT ||= '18889');
const URL = `http://localhost:${PORT}`;

const projects = [
  {
    name: 'chromium',
    use: {
      browserName: 'chromium',
      launchOptions: {
        // Empty: the browser that Playwright itself installed.
        executablePath: process.env.CHROMIUM || undefined
      }
    }
  }
];
if (process.env.FIREFOX) {
  projects.push({
    name: 'firefox',
    // Any Firefox that is installed, where else Playwright wants its own.
    use: {
      browserName: 'firefox',
      channel: 'moz-firefox',
      launchOptions: { executablePath: process.env.FIREFOX }
    }
  });
}

module.exports = {
  testDir: '.',
  outputDir: '../test-results/versions',
  reporter: 'list',
  workers: 1,
  // On a busy machine all takes several times as long.
  timeout: 240_000,
  expect: { timeout: 60_000 },
  globalTimeout: 1_800_000,
  use: { baseURL: URL, screenshot: 'only-on-failure' },
  projects,
  webServer: {
    command: `"${PYTHON}" -m jupyterlab --config jupyter_server_config.py`,
    // Nothing of the environment that the tests themselves run in.
    env: { JUPYTER_PATH: '', JUPYTER_CONFIG_PATH: '', PYTHONPATH: '' },
    stderr: 'ignore',
    url: `${URL}/lab`,
    timeout: 120_000,
    reuseExistingServer: false
  }
};
