import { CommandRegistry } from '@lumino/commands';

/** A key as the user's keyboard names it: `Alt \` is Alt+\, and on macOS ⌥ \. */
export function keyName(keys: string): string {
  // Of a modifier alone the sign before the key stays.
  return CommandRegistry.formatKeystroke(keys).replace(/[+ ]$/, '');
}
