import { Platform } from '@lumino/domutils';

import { keyName } from '../../ui/keys';

const platform = jest.replaceProperty(Platform, 'IS_MAC', false);

it.each([
  [false, 'Alt \\', 'Alt+\\'],
  [false, 'Alt', 'Alt'],
  [true, 'Alt \\', '⌥ \\'],
  [true, 'Alt', '⌥'],
  [true, 'Ctrl .', '⌃ .']
])('on macOS: %s, %s is %s', (isMac, keys, name) => {
  platform.replaceValue(isMac);
  expect(keyName(keys)).toBe(name);
});
