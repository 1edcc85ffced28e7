import { nullTranslator } from '@jupyterlab/translation';

import { Announcer, spoken } from '../../ui/announcer';

const trans = nullTranslator.load('santajupyter');

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function setUp() {
  const state = { shown: '', wanted: true };
  const announcer = new Announcer(
    trans,
    () => state.shown,
    () => state.wanted
  );
  const show = (text: string) => {
    state.shown = text;
    announcer.announce();
  };
  return { state, show, text: () => announcer.node.textContent };
}

it('says the first line, and how many more there are', () => {
  expect(spoken('x + 1', trans)).toBe('Suggestion: x + 1');
  expect(spoken('x\n  y', trans)).toBe('Suggestion: x, and 1 more line');
  expect(spoken('\n  x\n  y\n', trans)).toBe('Suggestion: x, and 1 more line');
  expect(spoken(' \n', trans)).toBe('');
  expect(spoken('np.e', trans, ['import numpy as np'])).toBe(
    'Suggestion: np.e, and with it import numpy as np'
  );
});

it('announces what rests, not each of a quick row', () => {
  const { show, text } = setUp();
  show('a');
  jest.advanceTimersByTime(500);
  show('b');
  jest.advanceTimersByTime(500);
  expect(text()).toBe('');
  jest.advanceTimersByTime(500);
  expect(text()).toBe('Suggestion: b');
});

it('announces what there is then, and nothing where it is unwanted', () => {
  const { show, state, text } = setUp();
  show('a');
  state.shown = '';
  jest.advanceTimersByTime(1000);
  expect(text()).toBe('');
  state.wanted = false;
  show('b');
  jest.advanceTimersByTime(1000);
  expect(text()).toBe('');
});
