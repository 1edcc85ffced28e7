/*
 * How long after a key the first ghost text is on the screen, in a real browser.
 *
 *   node benchmarks/key-to-ghost.mjs URL [--samples N] [--above FOLDER] [--pid PID_OF_SERVER]
 *
 * URL is a running JupyterLab's with its token, begun with
 * --LabApp.expose_app_in_browser=True. The script makes a notebook of its own, with the
 * code of a folder's notebooks above if that is given, types the beginnings of lines, none
 * of them twice, one after another, and takes the time from the last key to the first
 * change of the page that shows ghost text. The provider's delay while typing (by the pace
 * of both, unless set otherwise) is part of it. Run it on a machine with nothing else to
 * do; it needs what `dev.py test` installs into ui-tests/.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import { parseArgs } from 'node:util';

const require = createRequire(new URL('../ui-tests/', import.meta.url));
const { chromium } = require('@playwright/test');

const CELLS = [
  'import math\nimport random\nfrom collections import Counter',
  'words = "the quick brown fox jumps over the lazy dog".split()\nlengths = [len(word) for word in words]',
  'def mean(values):\n    return sum(values) / len(values)'
];
const LINES = [
  'counts_N = Counter(',
  'for word_N in ',
  'for word_N, length in zip(',
  'total_N = sum(',
  'longest_N = max(',
  'average_N = mean(',
  'assert N == len(',
  'squares_N = [n ** 2 for n in ',
  'print(N, ',
  'def mean_N(values):',
  'if len(words) > N:',
  'shuffled_N = random.sample(words, '
];
const PATIENCE = 5000;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    samples: { type: 'string', default: '60' },
    above: { type: 'string' },
    pid: { type: 'string' }
  }
});
if (positionals.length !== 1) {
  console.error('usage: node benchmarks/key-to-ghost.mjs URL [--samples N] [--above FOLDER] [--pid PID]');
  process.exit(2);
}
const url = new URL(positionals[0]);
const headers = { Authorization: `token ${url.searchParams.get('token')}` };
const api = path => new URL(path, new URL('./', url));

const ABOVE = [...(values.above ? codeOf(values.above) : []), ...CELLS];
await makeNotebook();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update']
});
const page = await openNotebook(browser);
// The model is loaded at the first use, which is not what is measured here.
for (let i = 0; i < 120 && !(await status()).serving; i++) {
  await typeLine('import numpy as ');
}
const times = [];
let silent = 0;
for (let sample = 0; sample < Number(values.samples); sample++) {
  const line = LINES[sample % LINES.length];
  const time = await typeLine(line.replaceAll('N', sample + 100));
  if (time === null) {
    silent++;
  } else {
    times.push(time);
  }
}
await report();
await browser.close();

async function makeNotebook() {
  const cells = [...ABOVE, ''].map((source, i) => ({
    cell_type: 'code',
    id: `cell-${i}`,
    metadata: {},
    execution_count: null,
    outputs: [],
    source
  }));
  const metadata = {
    kernelspec: { name: 'python3', display_name: 'Python 3', language: 'python' },
    language_info: { name: 'python' }
  };
  const content = { cells, metadata, nbformat: 4, nbformat_minor: 5 };
  await request('api/contents/key-to-ghost.ipynb', 'PUT', { type: 'notebook', content });
}

/** The code cells of all notebooks in a folder. */
function codeOf(folder) {
  return readdirSync(folder)
    .filter(name => name.endsWith('.ipynb'))
    .map(name => JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')))
    .flatMap(({ cells }) => cells.filter(cell => cell.cell_type === 'code'))
    .map(({ source }) => [source].flat().join(''));
}

async function openNotebook(browser) {
  const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
  await page.goto(api(`lab/tree/key-to-ghost.ipynb?reset&token=${url.searchParams.get('token')}`).href);
  await page.locator('.jp-mod-completer-enabled').first().waitFor({ timeout: 60000 });
  // Of a long notebook the page has only the cells that are near what it shows.
  await page.waitForFunction(() => {
    const { content } = globalThis.jupyterapp.shell.currentWidget;
    content.activeCellIndex = content.widgets.length - 1;
    void content.scrollToItem(content.activeCellIndex, 'center');
    content.mode = 'edit';
    content.activeCell.editor?.focus();
    return content.activeCell.inViewport && document.activeElement?.matches('.cm-content');
  }, null, { polling: 1000, timeout: 60000 });
  await page.evaluate(() => {
    addEventListener('keydown', event => (globalThis.keyTime = event.timeStamp), true);
    new MutationObserver(() => {
      if (!globalThis.ghostTime && document.querySelector('.jp-GhostText')?.textContent.trim()) {
        globalThis.ghostTime = performance.now();
      }
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  return page;
}

/** Milliseconds from the last key to ghost text; null when none came. */
async function typeLine(text) {
  await page.keyboard.press('Control+a');
  await page.keyboard.press('Delete');
  await page.keyboard.type(text.slice(0, -1), { delay: 40 });
  await page.evaluate(() => (globalThis.ghostTime = 0));
  await page.keyboard.type(text.slice(-1));
  try {
    await page.waitForFunction(() => globalThis.ghostTime > 0, undefined, { timeout: PATIENCE, polling: 20 });
  } catch {
    return null;
  }
  return page.evaluate(() => globalThis.ghostTime - globalThis.keyTime);
}

async function report() {
  const { serving, version, stats } = await status();
  times.sort((a, b) => a - b);
  const at = share => Math.round(times[Math.min(times.length - 1, Math.floor(share * times.length))]);
  console.log(`santajupyter ${version}, ${serving}; ${os.cpus()[0].model}, ${os.cpus().length} cores, load ${os.loadavg()[0].toFixed(1)}`);
  console.log(`key to first ghost text: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, n ${times.length}; nothing shown ${silent} times`);
  console.log(`prompt tokens from the cache: ${Math.round((100 * stats.cached_tokens) / stats.prompt_tokens)} %`);
  for (const pid of values.pid ? [values.pid, ...children(values.pid)] : []) {
    console.log(`memory ${megabytes(pid)}  ${commandLine(pid).slice(0, 80)}`);
  }
}

function children(pid) {
  try {
    return execFileSync('pgrep', ['-P', pid], { encoding: 'utf8' }).trim().split('\n');
  } catch {
    return [];
  }
}

function megabytes(pid) {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = name => `${Math.round(Number(text.match(new RegExp(`${name}:\\s+(\\d+)`))[1]) / 1024)} MB`;
  return `${of('VmRSS')} now, ${of('VmHWM')} at the peak`;
}

function commandLine(pid) {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ');
}

async function status() {
  return request('santajupyter/status', 'GET');
}

async function request(path, method, body) {
  const response = await fetch(api(path), { method, headers, body: body && JSON.stringify(body) });
  if (!response.ok) {
    throw new Error(`${method} ${path}: ${response.status}`);
  }
  return response.json();
}
