import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';

import { AcceptIDs } from '../jupyterlab/accept';
import { wasTold } from './told';

const SEEN = 'santajupyter:hint-seen';

/** Tells once in a browser, with the first suggestion, what its keys are and how to turn it off. */
export function showHint(
  commands: CommandRegistry,
  trans: TranslationBundle,
  turnOff: () => void
): void {
  if (wasTold(SEEN)) {
    return;
  }
  const all = keysOf(commands, 'inline-completer:accept');
  const word = keysOf(commands, AcceptIDs.word);
  Notification.info(
    trans.__(
      // JupyterLab shows 140 characters.
      'Grey text is a suggestion: %1 accepts it, %2 a word. Fewer, or none for a while: in the status bar’s menu.',
      all,
      word
    ),
    {
      autoClose: 30_000,
      actions: [{ label: trans.__('Turn Off'), callback: turnOff }]
    }
  );
}

/** The keys that run a command, as the user reads them. */
function keysOf(commands: CommandRegistry, command: string): string {
  const binding = commands.keyBindings.find(
    binding => binding.command === command
  );
  return binding ? CommandRegistry.formatKeystroke(binding.keys) : '–';
}
