import { watchAlt } from '../../jupyterlab/hold';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function setUp() {
  const node = document.createElement('div');
  document.body.append(node);
  const told: string[] = [];
  watchAlt(node, {
    held: () => told.push('held'),
    released: () => told.push('released')
  });
  const send = (type: string, key: string) =>
    node.dispatchEvent(new KeyboardEvent(type, { key, bubbles: true }));
  return { send, told };
}

it('tells that Alt is held, and let go', () => {
  const { send, told } = setUp();
  send('keydown', 'Alt');
  jest.advanceTimersByTime(200);
  send('keydown', 'Alt');
  expect(told).toEqual(['held']);
  send('keyup', 'Alt');
  send('keyup', 'Alt');
  expect(told).toEqual(['held', 'released']);
});

it('is silent about shortcuts and a short press', () => {
  const { send, told } = setUp();
  send('keydown', 'Alt');
  send('keydown', '\\');
  jest.advanceTimersByTime(200);
  send('keyup', 'Alt');
  send('keydown', 'Alt');
  send('keyup', 'Alt');
  jest.advanceTimersByTime(200);
  expect(told).toEqual([]);
});

it('counts Alt as let go where the page loses the keyboard', () => {
  const { send, told } = setUp();
  send('keydown', 'Alt');
  jest.advanceTimersByTime(200);
  window.dispatchEvent(new Event('blur'));
  expect(told).toEqual(['held', 'released']);
});

it('counts Alt as let go in a menu or dialog, which has the keyboard by then', () => {
  const { send, told } = setUp();
  send('keydown', 'Alt');
  jest.advanceTimersByTime(200);
  const keyup = new KeyboardEvent('keyup', { key: 'Alt', bubbles: true });
  document.body.dispatchEvent(keyup);
  expect(told).toEqual(['held', 'released']);
});
