/**
 * @jest-environment node
 *
 * How many of a person's keystrokes need no request: typing traces go through the
 * real provider, a running server answers. See README.md.
 */
import { readFileSync } from 'node:fs';

import type { IInlineCompletionContext } from '@jupyterlab/completer';
import { Signal } from '@lumino/signaling';

import type { ICompletionRequest, SantaApi } from '../src/api';
import type { ICell, IPlace } from '../src/context';
import type { Ghosts } from '../src/ghosts';
import { SantaProvider } from '../src/provider';
import type { Settings } from '../src/settings';

jest.mock('@jupyterlab/completer', () => ({
  InlineCompletionTriggerKind: { Invoke: 0, Automatic: 1 }
}));
jest.mock('../src/icon', () => ({ santaIcon: null }));
jest.mock('../src/context', () => ({
  activeEditor: () => ({ hasFocus: () => true }),
  activeType: () => 'code',
  currentPlace: () => place(),
  requestPlace: () => place(),
  surroundings: () => JSON.stringify(others()),
  notebookContext: () => ({
    ...now,
    language: 'python',
    path: ''
  })
}));

/** Milliseconds: the provider's delay while typing, and on a blank line. */
const DELAY = 150;
const REST = 400;
const { TRACES = '', SERVER = '' } = process.env;

/** An event of `benchmarks/typing/traces.py`. */
interface IEvent {
  t: number;
  kind: 'focus' | 'key' | 'delete' | 'move' | 'accept';
  text?: string;
  active?: number;
  offset?: number;
  cells?: [ICell['type'], string][];
}

/** The notebook; `offset` counts code points. */
let now = { cells: [] as ICell[], active: 0, offset: 0 };

function sides(): [string, string] {
  const chars = [...now.cells[now.active].source];
  return [
    chars.slice(0, now.offset).join(''),
    chars.slice(now.offset).join('')
  ];
}

function place(): IPlace {
  const [prefix, suffix] = sides();
  return { editor: `${now.active}`, prefix, suffix };
}

function others(): string[] {
  return now.cells.map(({ source }, at) => (at === now.active ? '' : source));
}

/** Whether the event changed the text, so that JupyterLab may ask. */
function happen(event: IEvent): boolean {
  const { active = now.active, offset = now.offset, cells, kind } = event;
  if (cells) {
    now.cells = cells.map(([type, source]) => ({ type, source }));
  }
  if (kind === 'focus' || kind === 'move') {
    now = { ...now, active, offset };
    return false;
  }
  const [before, after] = sides().map(side => [...side]);
  before.splice(before.length - (kind === 'delete' ? 1 : 0), 1);
  before.push(...(event.text ?? ''));
  now.cells[now.active].source = [...before, ...after].join('');
  now.offset = before.length;
  return true;
}

async function post(
  body: ICompletionRequest,
  signal: AbortSignal
): Promise<string> {
  const { origin, searchParams } = new URL(SERVER);
  const response = await fetch(`${origin}/santajupyter/complete`, {
    method: 'POST',
    headers: { Authorization: `token ${searchParams.get('token')}` },
    body: JSON.stringify(body),
    signal
  });
  expect(response.status).toBe(200);
  const { items } = (await response.json()) as { items: { text: string }[] };
  return items[0].text;
}

function setUp() {
  const owner = {};
  const choices = {
    enabled: true,
    automatic: true,
    mode: 'auto',
    maxNewTokens: 64,
    temperature: 0,
    delay: 0
  };
  const complete = jest.fn(post);
  const provider = new SantaProvider(
    { complete } as unknown as SantaApi,
    {
      ready: Promise.resolve(),
      changed: new Signal(owner),
      choices
    } as unknown as Settings,
    { tidy: () => undefined, dismiss: () => undefined } as unknown as Ghosts,
    {
      serving: '',
      mayAsk: () => true,
      asked: () => undefined,
      answered: () => undefined,
      failed: error => {
        throw error;
      }
    },
    { about: () => ({}), readings: () => 0, settled: () => Promise.resolve() }
  );
  return { choices, complete, provider };
}

it('counts', async () => {
  const events = readFileSync(TRACES, 'utf-8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as IEvent);
  const { choices, complete, provider } = setUp();
  const context = { widget: { id: 'w' }, triggerKind: 1 };
  const counts = { keys: 0, rested: 0, shown: 0, requests: 0 };
  for (const [at, event] of events.entries()) {
    if (!happen(event)) {
      continue;
    }
    counts.keys++;
    const isBlank = /(^|\n)[ \t]*$/.test(sides()[0]);
    const next = events[at + 1];
    const pause = next && !next.cells ? next.t - event.t : Infinity;
    const rests = pause > (isBlank ? REST : DELAY);
    if (isBlank && !rests) {
      continue;
    }
    counts.rested += rests ? 1 : 0;
    const before = complete.mock.calls.length;
    // Who types on at once comes before the delay is over.
    choices.delay = rests ? 0 : 1e6;
    const list = provider.fetch(
      { text: '', offset: 0 },
      context as IInlineCompletionContext
    );
    const answered = await Promise.race([
      list.then(({ items }) => items.length > 0),
      new Promise<false>(resolve => setTimeout(resolve, rests ? 1e6 : 1, false))
    ]);
    const isFree = complete.mock.calls.length === before;
    counts.shown += answered && isFree ? 1 : 0;
  }
  counts.requests = complete.mock.calls.length;
  const share = (part: number) => `${((100 * part) / counts.keys).toFixed(1)} %`;
  console.warn(counts, {
    'without a request': share(counts.keys - counts.requests),
    'ghost text without a request': share(counts.shown)
  });
  expect(counts.keys).toBeGreaterThan(0);
}, 3_600_000);
