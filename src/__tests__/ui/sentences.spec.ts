import { nullTranslator } from '@jupyterlab/translation';

import type { IStatus } from '../../server/protocol';
import { shortName, statusLabel, statusSentence } from '../../ui/sentences';

jest.mock('@jupyterlab/services', () => ({}));

const trans = nullTranslator.load('santajupyter');

const status = {
  state: 'ready',
  model: 'bigcode/gpt_bigcode-santacoder',
  serving: 'bigcode/gpt_bigcode-santacoder',
  device: 'cuda',
  progress: null,
  error: null
} as IStatus;
const download = {
  ...status,
  state: 'downloading',
  serving: 'santa-mini',
  progress: { phase: 'downloading', done: 949e6, total: 2.252e9, unit: 'B' }
} as IStatus;

const named = {
  model: 'bigcode/gpt_bigcode-santacoder',
  name: 'SantaCoder',
  blocks: true,
  download: null,
  memory: null
};

describe('the state in words', () => {
  it.each<[Partial<IStatus>, string]>([
    [status, 'gpt_bigcode-santacoder (cuda)'],
    [download, 'santa-mini (gpt_bigcode-santacoder: downloading 42 %)'],
    [
      { ...download, models: [named] },
      'santa-mini (SantaCoder: downloading 42 %)'
    ],
    [
      { ...download, progress: null, serving: null },
      'gpt_bigcode-santacoder: downloading'
    ],
    [
      { ...status, state: 'unloaded', serving: null },
      'gpt_bigcode-santacoder: not loaded'
    ],
    [
      { ...status, state: 'error', serving: null },
      'gpt_bigcode-santacoder: error'
    ]
  ])('is short in the status bar', (state, label) => {
    expect(statusLabel(state as IStatus, trans)).toBe(label);
  });

  it.each<[Partial<IStatus>, string]>([
    [status, 'bigcode/gpt_bigcode-santacoder is ready on cuda.'],
    [{ ...status, models: [named] }, 'SantaCoder is ready on cuda.'],
    [
      download,
      'Downloading bigcode/gpt_bigcode-santacoder (2.25 GB). santa-mini answers until then.'
    ],
    [
      { ...status, state: 'error', error: 'no hub', serving: 'santa-mini' },
      "bigcode/gpt_bigcode-santacoder can't be used: no hub. santa-mini answers instead."
    ],
    [
      { ...status, state: 'loading', serving: null },
      'Loading bigcode/gpt_bigcode-santacoder.'
    ]
  ])('is whole in the panel', (state, sentence) => {
    expect(statusSentence(state as IStatus, trans)).toBe(sentence);
  });

  it.each([
    ['bigcode/santacoder', 'santacoder'],
    ['/models/mine/', 'mine'],
    ['C:\\models\\mine', 'mine'],
    ['santa-mini', 'santa-mini']
  ])('calls %s %s', (model, name) => {
    expect(shortName(model)).toBe(name);
  });
});
