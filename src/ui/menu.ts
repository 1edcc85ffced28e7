import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { MenuSvg } from '@jupyterlab/ui-components';
import type { Menu } from '@lumino/widgets';

import type { IChoices, Settings } from '../settings';
import { keyName } from './keys';
import { minutesLeft } from './sentences';
import { type IStanding, standingSentence } from './standing';

const SNOOZE_MINUTES = 5;
const SETTINGS_EDITOR = 'settingeditor:open';

export const MenuIDs = {
  menu: 'santajupyter:menu',
  why: 'santajupyter:why',
  toggleLanguage: 'santajupyter:toggle-language',
  snooze: 'santajupyter:snooze',
  eagerness: 'santajupyter:eagerness',
  holdToShow: 'santajupyter:hold-to-show',
  settings: 'santajupyter:settings'
};

type Eagerness = 'manual' | 'sure' | 'eager';

const EAGERNESS: Record<Eagerness, Partial<IChoices>> = {
  manual: { automatic: false },
  sure: { automatic: true, onlySure: true },
  eager: { automatic: true, onlySure: false }
};

export interface IMenuParts extends IStanding {
  app: JupyterFrontEnd;
  palette: ICommandPalette | null;
  settings: Settings;
  openPanel: () => Promise<void>;
  trans: TranslationBundle;
}

/** Adds the commands of the menu; what comes back opens it above a node, or where there is none. */
export function addMenu(parts: IMenuParts): (node?: HTMLElement) => void {
  const { app, palette, settings, trans } = parts;
  addMenuCommands(parts);
  const menu = makeMenu(parts);
  const open = (node?: HTMLElement) => openMenu(menu, node ?? app.shell.node);
  app.commands.addCommand(MenuIDs.menu, {
    label: trans.__('Code Suggestions: Menu'),
    execute: () =>
      open(
        document.querySelector<HTMLElement>('.santa-StatusItem-content') ??
          undefined
      )
  });
  const { menu: own, snooze, holdToShow, toggleLanguage } = MenuIDs;
  for (const command of [own, snooze, holdToShow, toggleLanguage]) {
    palette?.addItem({ command, category: trans.__('SantaJupyter') });
  }
  settings.changed.connect(() => {
    Object.values(MenuIDs).forEach(id => app.commands.notifyCommandChanged(id));
  });
  return open;
}

function addMenuCommands(parts: IMenuParts): void {
  const { app, settings, where, openPanel, trans } = parts;
  const { commands } = app;
  const language = () => where()?.language ?? '';
  commands.addCommand(MenuIDs.why, {
    label: () => standingSentence(parts, trans),
    execute: openPanel
  });
  commands.addCommand(MenuIDs.toggleLanguage, {
    label: () =>
      language()
        ? trans.__('Suggest Code in This Language (%1)', language())
        : trans.__('Suggest Code in This Language'),
    isEnabled: () => language() !== '',
    isToggled: () => language() !== '' && !settings.isLanguageOff(language()),
    execute: () => settings.toggleLanguage(language())
  });
  commands.addCommand(MenuIDs.snooze, {
    label: () =>
      settings.snoozedUntil
        ? trans._n(
            'Suggest Code Again Now (%1 minute left)',
            'Suggest Code Again Now (%1 minutes left)',
            minutesLeft(settings.snoozedUntil)
          )
        : trans._n(
            'No Code Suggestions for %1 Minute',
            'No Code Suggestions for %1 Minutes',
            SNOOZE_MINUTES
          ),
    execute: () =>
      settings.snooze(settings.snoozedUntil ? 0 : SNOOZE_MINUTES * 60_000)
  });
  const labels: Record<Eagerness, string> = {
    manual: trans.__('Suggest Only When I Ask (%1)', keyName('Alt \\')),
    sure: trans.__('Suggest Only When Sure'),
    eager: trans.__('Suggest as I Type')
  };
  commands.addCommand(MenuIDs.eagerness, {
    label: ({ level }) =>
      labels[level as Eagerness] ?? trans.__('When Code Is Suggested'),
    isToggled: ({ level }) => level === eagerness(settings.choices),
    execute: async ({ level }) => {
      for (const [key, value] of Object.entries(
        EAGERNESS[level as Eagerness] ?? {}
      )) {
        await settings.set(key as 'automatic' | 'onlySure', value as boolean);
      }
    }
  });
  commands.addCommand(MenuIDs.holdToShow, {
    label: trans.__('Show Code Suggestions While %1 Is Held', keyName('Alt')),
    isToggled: () => settings.choices.holdToShow,
    execute: () => settings.set('holdToShow', !settings.choices.holdToShow)
  });
  commands.addCommand(MenuIDs.settings, {
    label: trans.__('Settings…'),
    isVisible: () => commands.hasCommand(SETTINGS_EDITOR),
    execute: () =>
      commands.execute(SETTINGS_EDITOR, { query: trans.__('SantaJupyter') })
  });
}

function makeMenu({ app, trans }: IMenuParts): Menu {
  const { commands } = app;
  const menu = new MenuSvg({ commands, renderer: new Renderer() });
  menu.addClass('santa-Menu');
  menu.node.ariaLabel = trans.__('Code suggestions');
  menu.addItem({ command: MenuIDs.why });
  menu.addItem({ type: 'separator' });
  menu.addItem({ command: 'santajupyter:enable' });
  menu.addItem({ command: 'santajupyter:toggle-notebook' });
  menu.addItem({ command: MenuIDs.toggleLanguage });
  menu.addItem({ command: MenuIDs.snooze });
  menu.addItem({ type: 'separator' });
  // No submenu: Lumino gives its item no role.
  for (const level of Object.keys(EAGERNESS)) {
    menu.addItem({ command: MenuIDs.eagerness, args: { level } });
  }
  menu.addItem({ command: MenuIDs.holdToShow });
  menu.addItem({ type: 'separator' });
  menu.addItem({ command: 'santajupyter:status' });
  menu.addItem({ command: MenuIDs.settings });
  return menu;
}

/** Lumino's lines between entries take the focus, and have no role then. */
class Renderer extends MenuSvg.Renderer {
  override renderItem(data: Menu.IRenderData): VirtualElement {
    const item = super.renderItem(data);
    if (data.item.type === 'separator') {
      const { attrs } = item as { attrs: { tabindex?: string; role?: string } };
      delete attrs.tabindex;
      attrs.role = 'separator';
    }
    return item;
  }
}

type VirtualElement = ReturnType<Menu.Renderer['renderItem']>;

/** Opens the menu above or below a node; the focus goes back where it was. */
function openMenu(menu: Menu, node: HTMLElement): void {
  const focused = document.activeElement;
  const giveBack = () => {
    menu.aboutToClose.disconnect(giveBack);
    if (focused instanceof HTMLElement) {
      focused.focus();
    }
  };
  const { left, top } = node.getBoundingClientRect();
  // Where there is no room below, it opens above.
  menu.open(left, top);
  menu.aboutToClose.connect(giveBack);
}

function eagerness({ automatic, onlySure }: IChoices): Eagerness {
  return !automatic ? 'manual' : onlySure ? 'sure' : 'eager';
}
