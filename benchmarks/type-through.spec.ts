/**
 * @jest-environment node
 *
 * How many of a person's keystrokes need no request: typing traces go through the
 * real session, a running server answers. See README.md.
 */
import { readFileSync } from 'node:fs';

import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type {
  ICell,
  ICompletion,
  ICompletionRequest
} from '../src/server/protocol';
import type { IPlace } from '../src/document/types';
import type { SantaApi } from '../src/server/api';
import type { Ghosts } from '../src/jupyterlab/ghosts';
import { Session } from '../src/suggest/session';
import type { Settings } from '../src/settings';

jest.mock('../src/jupyterlab/internals', () => ({
  isCommanding: () => false,
  isComposing: () => false,
  isOthersChange: () => false
}));
jest.mock('../src/document/where', () => ({ whereIs: () => null }));
jest.mock('../src/document/context', () => ({
  activeEditor: () => ({ hasFocus: () => true }),
  activeLanguage: () => 'python',
  currentPlace: () => place(),
  currentRequest: () => ({ text: '', offset: 0 }),
  indentUnit: () => '    ',
  requestPlace: () => place(),
  surroundings: () => JSON.stringify(others()),
  notebookContext: () => ({ ...now, language: 'python', path: '' })
}));

/** `ANSWER` is the milliseconds that an answer takes. */
const { TRACES = '', SERVER = '', ANSWER = '50' } = process.env;
/** Milliseconds after which a blank line is asked for, and between two notebooks. */
const REST = 400;
const PAUSE = 60_000;

const widget = { id: 'w' } as Widget;

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

/** The traces' time: it stands still while the server works, so any machine counts the same. */
class Clock {
  constructor() {
    globalThis.setTimeout = ((run: () => void, wait = 0) =>
      this._timers.push({ at: this.now + wait, run })) as never;
    jest.spyOn(performance, 'now').mockImplementation(() => this.now);
  }

  now = 0;

  /** Goes on once `promise` is settled. */
  async awaits<T>(promise: Promise<T>): Promise<T> {
    this._awaited = promise.catch(() => undefined);
    return promise;
  }

  async goTo(time: number): Promise<void> {
    for (;;) {
      await this._settled();
      this._timers.sort((one, other) => one.at - other.at);
      const [next, ...others] = this._timers;
      if (!next || next.at > time) {
        break;
      }
      this._timers = others;
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = time;
  }

  private async _settled(): Promise<void> {
    let awaited: Promise<unknown> | null = null;
    do {
      awaited = this._awaited;
      await awaited;
      await new Promise(resolve => setImmediate(resolve));
    } while (awaited !== this._awaited);
  }

  private _awaited: Promise<unknown> = Promise.resolve();
  private _timers: { at: number; run: () => void }[] = [];
}

async function post(body: ICompletionRequest): Promise<ICompletion> {
  const { origin, searchParams } = new URL(SERVER);
  const response = await fetch(`${origin}/santajupyter/complete`, {
    method: 'POST',
    headers: { Authorization: `token ${searchParams.get('token')}` },
    body: JSON.stringify(body)
  });
  expect(response.status).toBe(200);
  return ((await response.json()) as { items: ICompletion[] }).items[0];
}

function setUp(clock: Clock) {
  const counts = { keys: 0, requests: 0, lost: 0, said: 0, shown: 0 };
  const complete = async (body: ICompletionRequest, signal: AbortSignal) => {
    counts.requests++;
    signal.addEventListener('abort', () => counts.lost++);
    const completion = await clock.awaits(post(body));
    await new Promise<void>(resolve => setTimeout(resolve, Number(ANSWER)));
    counts.said += completion.text && !signal.aborted ? 1 : 0;
    return completion;
  };
  const owner = {};
  const session = new Session(
    { complete } as unknown as SantaApi,
    {
      ready: Promise.resolve(),
      changed: new Signal(owner),
      refusal: () => null,
      choices: {
        automatic: true,
        mode: 'auto',
        maxNewTokens: 64,
        temperature: 0,
        delay: 0
      }
    } as unknown as Settings,
    {
      ended: new Signal(owner),
      tidy: () => undefined,
      end: () => undefined,
      in: () => null,
      isCovered: () => false
    } as unknown as Ghosts,
    {
      serving: '',
      isAbsent: false,
      mayAsk: () => true,
      asked: () => undefined,
      answered: () => undefined,
      ended: () => undefined,
      failed: error => {
        throw error;
      }
    },
    { about: () => ({}), readings: () => 0, settled: () => Promise.resolve() }
  );
  return { counts, session };
}

it('counts', async () => {
  const events = readFileSync(TRACES, 'utf-8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as IEvent);
  const clock = new Clock();
  const { counts, session } = setUp(clock);
  const ask = () =>
    session.suggest({ text: '', offset: 0 }, widget, 'automatic');
  let start = 0;
  for (const [at, event] of events.entries()) {
    if (event.cells && at > 0) {
      start = clock.now + PAUSE;
    }
    await clock.goTo(start + event.t);
    if (!happen(event)) {
      continue;
    }
    counts.keys++;
    const { requests } = counts;
    session.pace.typed(clock.now);
    const seen = (items: object[]) => {
      counts.shown +=
        items.length > 0 && counts.requests === requests ? 1 : 0;
    };
    const isBlank = /(^|\n)[ \t]*$/.test(sides()[0]);
    if (!isBlank) {
      void ask().then(seen, () => undefined);
      continue;
    }
    setTimeout(
      () => {
        if (events[at + 1] && clock.now < start + events[at + 1].t) {
          void ask().then(seen, () => undefined);
        }
      },
      session.knows(widget) ? 0 : REST
    );
  }
  await clock.goTo(clock.now + PAUSE);
  const share = (part: number) =>
    `${((100 * part) / counts.keys).toFixed(1)} %`;
  console.warn(counts, {
    'without a request': share(counts.keys - counts.requests),
    'ghost text without a request': share(counts.shown)
  });
  expect(counts.keys).toBeGreaterThan(0);
}, 3_600_000);
