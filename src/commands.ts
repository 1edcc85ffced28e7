import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Monitor } from './monitor';
import type { Settings } from './settings';

export const CommandIDs = {
  load: 'santajupyter:load',
  unload: 'santajupyter:unload',
  enable: 'santajupyter:enable',
  toggle: 'santajupyter:toggle',
  status: 'santajupyter:status'
};

/** What the user can do from the palette. */
export function addCommands(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  monitor: Monitor,
  settings: Settings,
  trans: TranslationBundle,
  openPanel: () => Promise<void>
): void {
  const { commands } = app;
  const isEnabled = () => !monitor.isAbsent;
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
    execute: () => settings.toggleAutomatic()
  });
  commands.addCommand(CommandIDs.status, {
    label: trans.__('Show the Code Completion Model'),
    execute: openPanel
  });
  settings.changed.connect(() => {
    commands.notifyCommandChanged(CommandIDs.enable);
    commands.notifyCommandChanged(CommandIDs.toggle);
  });
  for (const command of Object.values(CommandIDs)) {
    palette?.addItem({ command, category: trans.__('SantaCoder') });
  }
}
