/*
 * How long a key keeps the browser's main thread, in large notebooks.
 *
 *   node benchmarks/cost-of-a-key.mjs URL [--keys N] [--pause MS] [--notebook NAME] [--settings ID]
 *
 * URL is a running JupyterLab's with its token, started with --expose-app-in-browser. The script
 * writes two notebooks, and types N keys into a cell in the middle of each, MS apart: with
 * suggestions on, off, and without the extension, whose files are not loaded then. "All" is the
 * time of all tasks of the page's main thread from a key to the next, and "ours" that in which a
 * function of the extension is on the stack, by a profile of a sample every 0.5 ms: more of them
 * cost more than what they measure. Where the system lets us, the page has a priority that nothing
 * takes its core from, so that a wait for one isn't counted.
 */
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import os from 'node:os';
import { parseArgs } from 'node:util';

const require = createRequire(new URL('../ui-tests/', import.meta.url));
const { chromium } = require('@playwright/test');

const PLUGIN = 'santajupyter:plugin';
const MODES = {
  on: { settings: {} },
  off: { settings: { enabled: false } },
  without: { settings: {}, blocked: '**/extensions/santajupyter/**' }
};
/** Microseconds between two samples. */
const INTERVAL = 500;
/** Keys before those that count: the first ones load what is loaded at first use. */
const FIRST = 10;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    keys: { type: 'string', default: '200' },
    pause: { type: 'string', default: '150' },
    notebook: { type: 'string' }
  }
});
if (positionals.length !== 1) {
  console.error('usage: node benchmarks/cost-of-a-key.mjs URL [--keys N] [--pause MS] [--notebook NAME]');
  process.exit(2);
}
const url = new URL(positionals[0]);
const token = url.searchParams.get('token');
const api = path => new URL(path, new URL('./', url));

const notebooks = { 'cells-2000': manyCells(), 'megabytes-10': tenMegabytes() };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update']
});
console.log(`${os.cpus()[0].model}, ${os.cpus().length} cores, load ${os.loadavg()[0].toFixed(1)}, ${browser.version()}`);
console.log('| notebook | suggestions | all: p50 | p99 | max | ours: p50 | p99 | max (ms) |');
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
// Otherwise JupyterLab builds all 2,000 editors in the page's idle time, for minutes.
await request('lab/api/settings/@jupyterlab/notebook-extension:tracker', 'PUT', {
  raw: JSON.stringify({ windowingMode: 'full' })
});
for (const [name, cells] of Object.entries(notebooks)) {
  if (values.notebook && values.notebook !== name) {
    continue;
  }
  for (const [mode, { settings, blocked }] of Object.entries(MODES)) {
    await request(`lab/api/settings/${PLUGIN}`, 'PUT', { raw: JSON.stringify(settings) });
    await request(`api/contents/${name}.ipynb`, 'PUT', { type: 'notebook', content: notebook(cells) });
    const times = await measure(name, blocked);
    const columns = ['all', 'ours'].flatMap(kind => summary(times.map(time => time[kind])));
    console.log(`| ${name} | ${mode} | ${columns.join(' | ')} |`);
  }
}
await request(`lab/api/settings/${PLUGIN}`, 'PUT', { raw: '{}' });
await browser.close();

/** For each key the main thread's milliseconds until the next, all and ours. */
async function measure(name, blocked) {
  const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
  if (blocked) {
    await page.route(blocked, route => route.abort());
  }
  await takeCore();
  await openNotebook(page, name);
  const client = await page.context().newCDPSession(page);
  await client.send('Performance.enable');
  await client.send('Profiler.enable');
  await client.send('Profiler.setSamplingInterval', { interval: INTERVAL });
  await page.keyboard.press('Control+End');
  await type(page, client, FIRST);
  await client.send('Profiler.start');
  const zero = await page.evaluate(() => performance.now());
  const keys = await type(page, client, Number(values.keys));
  const { profile } = await client.send('Profiler.stop');
  await page.close();
  const ours = ownTimes(profile);
  return keys.map(({ at, all }, i) => {
    const [start, end] = [at - zero, (keys[i + 1]?.at ?? Infinity) - zero];
    const own = ours.filter(({ time }) => time >= start && time < end);
    return { all, ours: own.reduce((sum, { length }) => sum + length, 0) };
  });
}

/** Gives all pages real-time priority; on Linux, for root. */
async function takeCore() {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  try {
    for (const { id } of processInfo.filter(({ type }) => type === 'renderer')) {
      execFileSync('chrt', ['--rr', '--pid', '10', id], { stdio: 'ignore' });
    }
  } catch {
    console.error('without real-time priority: on a busy machine waits for a core are counted');
  }
}

async function openNotebook(page, name) {
  await page.goto(api(`lab/tree/${name}.ipynb?reset&token=${token}`).href);
  await page.locator('.jp-Notebook .jp-CodeCell .cm-content').first().waitFor({ timeout: 120000 });
  await page.waitForFunction(() => globalThis.jupyterapp.shell.currentWidget.sessionContext?.isReady, null, { timeout: 120000 });
  await page.evaluate(() => {
    addEventListener('keydown', event => (globalThis.keyTime = event.timeStamp), true);
    const { content } = globalThis.jupyterapp.shell.currentWidget;
    content.activeCellIndex = content.widgets.findIndex(cell => cell.model.sharedModel.getSource() === '# here\n');
  });
  // The list scrolls to where the cell will be, which moves as cells are laid out.
  await page.waitForFunction(() => {
    const { content } = globalThis.jupyterapp.shell.currentWidget;
    void content.scrollToItem(content.activeCellIndex, 'center');
    content.mode = 'edit';
    content.activeCell.editor?.focus();
    return content.activeCell.inViewport && document.activeElement?.matches('.cm-content');
  }, null, { polling: 1000 });
  await page.waitForTimeout(3000);
}

async function type(page, client, count) {
  const text = 'total = sum(value for value in values if value > 0)\n';
  const keys = [];
  for (let i = 0; i < count; i++) {
    const before = await busy(client);
    const key = text[i % text.length];
    await page.keyboard.press(key === '\n' ? 'Enter' : key === ' ' ? 'Space' : key);
    await page.waitForTimeout(Number(values.pause));
    const all = (await busy(client)) - before;
    keys.push({ at: await page.evaluate(() => globalThis.keyTime), all });
  }
  return keys;
}

/** Milliseconds that the main thread has worked so far. */
async function busy(client) {
  const { metrics } = await client.send('Performance.getMetrics');
  return 1000 * metrics.find(({ name }) => name === 'TaskDuration').value;
}

/** The samples with a function of ours on the stack: when, after the profile's start, and how long. */
function ownTimes({ nodes, samples, timeDeltas }) {
  const parents = new Map(nodes.flatMap(node => (node.children ?? []).map(child => [child, node.id])));
  const own = new Set(nodes.filter(node => node.callFrame.url.includes('santajupyter')).map(({ id }) => id));
  const isOurs = id => id !== undefined && (own.has(id) || isOurs(parents.get(id)));
  const found = [];
  let time = 0;
  samples.forEach((id, i) => {
    time += timeDeltas[i] / 1000;
    if (isOurs(id)) {
      const length = timeDeltas[i + 1] ?? INTERVAL;
      found.push({ time, length: length / 1000 });
    }
  });
  return found;
}

function summary(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const at = share => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return [at(0.5), at(0.99), at(1)].map(time => time.toFixed(1));
}

/** 2,000 cells of 300 characters, all but each tenth of them code. */
function manyCells() {
  const cells = Array.from({ length: 2000 }, (_, i) =>
    i % 10 === 0
      ? markdown(`## Part ${i}\n${'Values are read and added up. '.repeat(9)}`)
      : code(`value_${i} = load("part-${i}.csv")\n${'value = value.drop(columns=["a"])\n'.repeat(8)}`.slice(0, 300))
  );
  cells[1001] = code('# here\n');
  return cells;
}

/** 10 MB: images in Markdown, errors with huge tracebacks, much text. */
function tenMegabytes() {
  const image = size => `![plot](data:image/png;base64,${'iVBORw0KGgo'.repeat(size / 11)})\nas seen above`;
  const frame = 'File ~/lib/module.py:7, in f(x)\n      6 def f(x):\n----> 7     return g(x)\n';
  const failure = size => ({
    output_type: 'error',
    ename: 'KeyError',
    evalue: "'a'",
    traceback: ['Cell In[1], line 1\n----> 1 f(x)\n', ...Array(Math.ceil(size / frame.length)).fill(frame), "KeyError: 'a'"]
  });
  const text = size => ({ output_type: 'stream', name: 'stdout', text: 'epoch 1: loss 0.5\n'.repeat(size / 18) });
  return [
    code('import pandas as pd\nvalues = [1, 2, 3]'),
    markdown(image(3_000_000)),
    ...Array.from({ length: 10 }, () => markdown(image(100_000))),
    ...Array.from({ length: 20 }, () => code('f(x)', [failure(200_000)])),
    ...Array.from({ length: 4 }, () => code('train()', [text(500_000)])),
    ...manyCells().slice(900, 1100)
  ];
}

function code(source, outputs = []) {
  return { cell_type: 'code', metadata: {}, execution_count: outputs.length || null, outputs, source };
}

function markdown(source) {
  return { cell_type: 'markdown', metadata: {}, source };
}

function notebook(cells) {
  const metadata = {
    kernelspec: { name: 'python3', display_name: 'Python 3', language: 'python' },
    language_info: { name: 'python' }
  };
  const numbered = cells.map((cell, i) => ({ ...cell, id: `cell-${i}` }));
  return { cells: numbered, metadata, nbformat: 4, nbformat_minor: 5 };
}

async function request(path, method, body) {
  const headers = { Authorization: `token ${token}` };
  const response = await fetch(api(path), { method, headers, body: JSON.stringify(body) });
  if (!response.ok) {
    throw new Error(`${method} ${path}: ${response.status}`);
  }
}
