import type { JupyterFrontEnd } from '@jupyterlab/application';
import { type ICommandPalette, Notification } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { CodeCommands } from './codecommands';
import type { Monitor } from '../server/monitor';
import type { Settings } from '../settings';

export const CommandIDs = {
  docstring: 'santajupyter:docstring',
  completeHere: 'santajupyter:complete-here',
  generate: 'santajupyter:generate',
  load: 'santajupyter:load',
  unload: 'santajupyter:unload',
  enable: 'santajupyter:enable',
  toggle: 'santajupyter:toggle',
  toggleNotebook: 'santajupyter:toggle-notebook',
  status: 'santajupyter:status'
};

/** What the commands are about. */
export interface ICommandParts {
  app: JupyterFrontEnd;
  palette: ICommandPalette | null;
  monitor: Monitor;
  settings: Settings;
  notebooks: INotebookTracker | null;
  code: CodeCommands;
  /** Null: there is no panel. */
  openPanel: (() => Promise<void>) | null;
  trans: TranslationBundle;
}

/** What the user can do from the palette. */
export function addCommands({
  app,
  palette,
  monitor,
  settings,
  notebooks,
  code,
  openPanel,
  trans
}: ICommandParts): void {
  const { commands } = app;
  const isEnabled = () => !monitor.isAbsent;
  // Of a model that is good for a line alone they would make nonsense.
  const isAble = () => monitor.status?.blocks !== false;
  let wasAble = isAble();
  const addCodeCommand = (
    id: string,
    label: string,
    caption: string,
    execute: () => Promise<void>
  ) =>
    commands.addCommand(id, {
      label: () =>
        isAble() ? label : trans.__('%1 (needs a larger model)', label),
      caption,
      isEnabled: () => code.isEnabled,
      execute: () => (isAble() ? execute() : offerLarger())
    });
  const offerLarger = () => {
    Notification.info(
      trans.__(
        '%1 completes the rest of a line; this needs a larger model.',
        monitor.serving ?? monitor.status?.model
      ),
      {
        autoClose: 10000,
        actions: openPanel
          ? [
              {
                label: trans.__('Choose a Model'),
                callback: () => void openPanel()
              }
            ]
          : []
      }
    );
  };
  addCodeCommand(
    CommandIDs.docstring,
    trans.__('Write Docstring'),
    trans.__('Document the function around the cursor'),
    () => code.writeDocstring()
  );
  addCodeCommand(
    CommandIDs.completeHere,
    trans.__('Complete Here'),
    trans.__('Suggest lines of code at the cursor'),
    () => code.completeHere()
  );
  addCodeCommand(
    CommandIDs.generate,
    trans.__('Generate from Comment'),
    trans.__(
      'Write the code for the comment at or above the cursor, or selected'
    ),
    () => code.generate()
  );
  commands.addCommand(CommandIDs.load, {
    label: trans.__('Load the Code Completion Model'),
    isEnabled,
    execute: () => monitor.load()
  });
  commands.addCommand(CommandIDs.unload, {
    label: trans.__('Unload the Code Completion Model'),
    isEnabled,
    execute: () => monitor.unload()
  });
  commands.addCommand(CommandIDs.enable, {
    label: trans.__('Suggest Code'),
    isToggled: () => settings.choices.enabled,
    execute: () => settings.set('enabled', !settings.choices.enabled)
  });
  commands.addCommand(CommandIDs.toggle, {
    label: trans.__('Suggest Code While Typing'),
    isToggled: () => settings.choices.automatic,
    execute: () => settings.set('automatic', !settings.choices.automatic)
  });
  const notebook = () => notebooks?.currentWidget?.content.model ?? null;
  commands.addCommand(CommandIDs.toggleNotebook, {
    label: trans.__('Suggest Code in This Notebook'),
    isEnabled: () => notebook() !== null,
    isToggled: () => settings.isNotebookOn(notebook()),
    execute: () => {
      const model = notebook();
      if (model) {
        settings.toggleNotebook(model);
      }
    }
  });
  if (openPanel) {
    commands.addCommand(CommandIDs.status, {
      label: trans.__('Show the Code Completion Model'),
      execute: openPanel
    });
  }
  const renew = () => {
    commands.notifyCommandChanged(CommandIDs.enable);
    commands.notifyCommandChanged(CommandIDs.toggle);
    commands.notifyCommandChanged(CommandIDs.toggleNotebook);
  };
  settings.changed.connect(renew);
  monitor.stateChanged.connect(() => {
    if (isAble() !== wasAble) {
      wasAble = isAble();
      commands.notifyCommandChanged();
    }
  });
  notebooks?.currentChanged.connect(renew);
  for (const command of Object.values(CommandIDs)) {
    if (commands.hasCommand(command)) {
      palette?.addItem({ command, category: trans.__('SantaJupyter') });
    }
  }
}
