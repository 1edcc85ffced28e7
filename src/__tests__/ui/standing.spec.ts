import { nullTranslator } from '@jupyterlab/translation';

import type { IChoices, IWhere } from '../../settings';
import { Settings } from '../../settings';
import { minutesLeft } from '../../ui/sentences';
import {
  type IStanding,
  standingLabel,
  standingSentence
} from '../../ui/standing';

const trans = nullTranslator.load('santajupyter');

const CODE: IWhere = {
  notebook: null,
  type: 'code',
  language: 'python',
  path: 'a.py',
  tags: [],
  isReadOnly: false
};

const READY = { state: 'ready', model: 'santa-mini', serving: 'santa-mini' };

async function standing(
  choices: Partial<IChoices> = {},
  where: Partial<IWhere> | null = {},
  monitor: object = { isAbsent: false, status: READY }
): Promise<IStanding & { settings: Settings }> {
  const settings = new Settings('id', null);
  for (const [key, value] of Object.entries(choices)) {
    await settings.set(key as keyof IChoices, value as never);
  }
  return {
    settings,
    monitor: monitor as IStanding['monitor'],
    where: () => where && { ...CODE, ...where },
    why: () => null
  };
}

it.each<[string, Partial<IChoices>, Partial<IWhere> | null, string, string]>([
  ['as usual', {}, {}, '', 'Suggestions come as you type.'],
  ['off', { enabled: false }, {}, 'off', 'Suggestions are off.'],
  ['off, no editor', { enabled: false }, null, 'off', 'Suggestions are off.'],
  ['no editor', {}, null, '', 'Suggestions come as you type.'],
  [
    'a tag',
    {},
    { tags: ['no-completions'] },
    'off here',
    'Off in this cell, by its tag.'
  ],
  [
    'a language',
    { offLanguages: ['python'] },
    {},
    'off here',
    'Off in this language (python).'
  ],
  ['a name', {}, { path: '.env' }, 'off here', 'Off in files of this name.'],
  ['Markdown', {}, { type: 'markdown' }, 'off here', 'Off in Markdown.'],
  [
    'by hand',
    { automatic: false },
    {},
    'on request',
    'Suggestions come when you ask for them (Alt+\\).'
  ],
  [
    'held',
    { holdToShow: true },
    {},
    'with Alt',
    'Suggestions are shown while you hold Alt.'
  ]
])('tells how it stands: %s', async (_, choices, where, label, sentence) => {
  const parts = await standing(choices, where);
  expect(standingLabel(parts, trans)).toBe(label);
  expect(standingSentence(parts, trans)).toBe(sentence);
});

it("tells that JupyterLab's settings have it off", async () => {
  const parts = await standing();
  parts.settings.isProviderOn = false;
  expect(standingLabel(parts, trans)).toBe('off');
  expect(standingSentence(parts, trans)).toContain('Inline Completer');
});

it('counts the minutes of a snooze', async () => {
  jest.useFakeTimers();
  try {
    const parts = await standing();
    parts.settings.snooze(5 * 60_000);
    expect(standingLabel(parts, trans)).toBe('off for 5 minutes');
    jest.advanceTimersByTime(4 * 60_000 + 1);
    expect(standingLabel(parts, trans)).toBe('off for 1 minute');
    expect(standingSentence(parts, trans)).toBe('Off for 1 more minute.');
    jest.advanceTimersByTime(60_000);
    expect(standingLabel(parts, trans)).toBe('');
  } finally {
    jest.useRealTimers();
  }
  expect(minutesLeft(1, 0)).toBe(1);
});

it('tells why the model says nothing', async () => {
  const parts = { ...(await standing()), why: () => 'repeats-above' as const };
  expect(standingSentence(parts, trans)).toBe(
    'Only a repetition of the line above.'
  );
});

it('tells of the server and the model', async () => {
  const of = async (monitor: object) =>
    standingSentence(await standing({}, {}, monitor), trans);
  expect(await of({ isAbsent: true, status: null })).toBe(
    'The server gives no code completion.'
  );
  expect(await of({ isAbsent: false, status: null })).toBe(
    "The server can't be reached."
  );
  expect(await of({ isRefused: true, status: null })).toBe(
    'The server refuses: perhaps you have to log in again.'
  );
  const loading = { state: 'loading', model: 'big', serving: null };
  expect(await of({ isAbsent: false, status: loading })).toBe('Loading big.');
});
