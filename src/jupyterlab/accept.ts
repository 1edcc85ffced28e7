import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  CommandToolbarButton,
  fastForwardIcon,
  wordIcon
} from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';

import { activeEditor } from '../document/context';
import type { Ghosts } from './ghosts';
import type { Completers } from './internals';

export const AcceptIDs = {
  word: 'santajupyter:accept-word',
  line: 'santajupyter:accept-line',
  dismiss: 'santajupyter:dismiss'
};

/** The commands for a part of the ghost text; their keys are in `schema/plugin.json`. */
export function addAcceptCommands(
  app: JupyterFrontEnd,
  completers: Completers,
  ghosts: Ghosts,
  trans: TranslationBundle
): void {
  const { commands, shell } = app;
  const editor = () => shell.currentWidget && activeEditor(shell.currentWidget);
  commands.addCommand(AcceptIDs.word, {
    label: trans.__('Accept the Next Word of the Suggestion'),
    execute: () => ghosts.accept(editor(), 'word')
  });
  commands.addCommand(AcceptIDs.line, {
    label: trans.__('Accept the Next Line of the Suggestion'),
    execute: () => ghosts.accept(editor(), 'line')
  });
  commands.addCommand(AcceptIDs.dismiss, {
    label: trans.__('Dismiss the Suggestion'),
    execute: () => ghosts.dismiss(editor())
  });
  addButtons(commands, completers, trans);
}

/** Buttons beside JupyterLab's own in the ghost's toolbar; like those they show their keys. */
function addButtons(
  commands: JupyterFrontEnd['commands'],
  completers: Completers,
  trans: TranslationBundle
): void {
  const buttons = [
    { id: AcceptIDs.word, icon: wordIcon, caption: trans.__('Accept a word') },
    {
      id: AcceptIDs.line,
      icon: fastForwardIcon,
      caption: trans.__('Accept a line')
    }
  ];
  const label = (id: string) => {
    const binding = commands.keyBindings.find(({ command }) => command === id);
    return binding ? CommandRegistry.formatKeystroke(binding.keys) : '';
  };
  completers.made.connect((_, completer) => {
    for (const { id, ...looks } of buttons) {
      completer.addButton(
        id,
        new CommandToolbarButton({
          ...looks,
          commands,
          id,
          label: () => label(id)
        })
      );
    }
  });
  commands.keyBindingChanged.connect((_, { binding: { command } }) => {
    if (buttons.some(({ id }) => id === command)) {
      commands.notifyCommandChanged(command);
    }
  });
}
