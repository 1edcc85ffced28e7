import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import {
  ICompletionProviderManager,
  IInlineCompleterFactory
} from '@jupyterlab/completer';
import { IConsoleTracker } from '@jupyterlab/console';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';

import { answerKernels } from './commands/bridge';
import { CodeCommands } from './commands/codecommands';
import { addFixCommand, FixCommand } from './commands/fix';
import { addCommands } from './commands/commands';
import { activeEditor } from './document/context';
import { KernelFacts } from './document/kernelfacts';
import { whereIs } from './document/where';
import { addAcceptCommands } from './jupyterlab/accept';
import { Ghosts, PROVIDER_ID } from './jupyterlab/ghosts';
import { watchAlt } from './jupyterlab/hold';
import { Completers } from './jupyterlab/internals';
import { watchTab } from './jupyterlab/tab';
import { watchTaps } from './jupyterlab/touch';
import { SantaApi } from './server/api';
import { SuggestionEvents } from './server/events';
import { Monitor } from './server/monitor';
import { Settings } from './settings';
import { SantaProvider } from './suggest/provider';
import { suggestAtRests } from './suggest/rests';
import { Session } from './suggest/session';
import { Warmup } from './suggest/warmup';
import { Announcer } from './ui/announcer';
import { Figures } from './ui/figures';
import { CursorNote } from './ui/cursornote';
import { documentFocus } from './ui/focus';
import { showHint } from './ui/hint';
import { addMenu } from './ui/menu';
import { Notices } from './ui/notices';
import { panelOpener } from './ui/panel';
import { shortName, silenceSentence } from './ui/sentences';
import { StatusItem } from './ui/status';
import { addViewCommand } from './ui/view';

const PLUGIN_ID = 'santajupyter:plugin';

/** What all the other plugins need. */
interface IBase {
  api: SantaApi;
  monitor: Monitor;
  settings: Settings;
  trans: TranslationBundle;
}
const IBase = new Token<IBase>('santajupyter:IBase');

interface ISuggestions {
  figures: Figures;
  ghosts: Ghosts;
  provider: SantaProvider;
  session: Session;
}
const ISuggestions = new Token<ISuggestions>('santajupyter:ISuggestions');

/** Opens the panel; resolves when it is there. */
type IPanel = () => Promise<void>;
const IPanel = new Token<IPanel>('santajupyter:IPanel');

const base: JupyterFrontEndPlugin<IBase> = {
  id: PLUGIN_ID,
  description:
    'The settings of santajupyter and its server; all its other plugins need it.',
  autoStart: true,
  provides: IBase,
  optional: [ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    registry: ISettingRegistry | null,
    translator: ITranslator | null
  ): IBase => {
    const trans = (translator ?? nullTranslator).load('santajupyter');
    const api = new SantaApi(app.serviceManager.serverSettings);
    const settings = new Settings(PLUGIN_ID, registry, (context, text) =>
      trans.pgettext(context, text)
    );
    const notices = new Notices(trans);
    // What is told earlier pops up nowhere.
    void app.restored.then(() => {
      notices.settings(settings);
      settings.changed.connect(() => notices.settings(settings));
    });
    const monitor = new Monitor(api, notices);
    return { api, monitor, settings, trans };
  }
};

const suggestions: JupyterFrontEndPlugin<ISuggestions> = {
  id: 'santajupyter:suggestions',
  description: 'Suggests code from a model on the computer of your kernels.',
  autoStart: true,
  provides: ISuggestions,
  requires: [IBase, ICompletionProviderManager],
  optional: [IInlineCompleterFactory, INotebookTracker],
  // JupyterLab asks for the providers once, as it starts: nothing here may wait.
  activate: (
    app: JupyterFrontEnd,
    { api, monitor, settings, trans }: IBase,
    manager: ICompletionProviderManager,
    factory: IInlineCompleterFactory | null,
    notebooks: INotebookTracker | null
  ): ISuggestions => {
    const completers = new Completers(factory);
    const ghosts = new Ghosts(completers);
    const figures = new Figures();
    ghosts.shown.connect((_, ghost) => figures.shown(ghost));
    ghosts.accepted.connect((_, { text }) => figures.accepted(text));
    ghosts.gone.connect((_, gone) => figures.gone(gone));
    const facts = new KernelFacts(settings);
    const session = new Session(api, settings, ghosts, monitor, facts);
    const provider = new SantaProvider(session, settings, completers);
    manager.registerInlineProvider(provider);
    ghosts.others = async () => {
      const widget = app.shell.currentWidget;
      return widget ? session.others(widget) : [];
    };
    const here = () => app.shell.currentWidget;
    const end = () => {
      const widget = here();
      if (widget) {
        session.end(widget);
      }
    };
    const note = new CursorNote();
    session.answered.connect((_, silence) => {
      const widget = app.shell.currentWidget;
      const editor = widget && activeEditor(widget);
      if (editor && silence) {
        note.show(
          editor,
          silenceSentence(
            silence,
            { settings, where: () => whereIs(widget) },
            trans
          )
        );
      } else {
        note.hide();
      }
    });
    if (factory) {
      // JupyterLab's own key for this works only where it may complete: else it is ours, and says why nothing comes.
      app.commands.addCommand('santajupyter:invoke', {
        label: trans.__('Suggest Code at the Cursor'),
        execute: () => {
          const widget = here();
          if (widget) {
            provider.show(widget, true);
          }
        }
      });
      addAcceptCommands(app, completers, ghosts, trans);
      suggestAtRests({
        shell: app.shell,
        completers,
        notebooks,
        monitor,
        session,
        settings,
        ghosts,
        provider
      });
      watchTaps(`.jp-GhostText[data-provided-by="${PROVIDER_ID}"]`, () => {
        const widget = here();
        ghosts.accept(widget && activeEditor(widget), 'whole');
      });
      watchTab({
        editor: () => {
          const widget = here();
          return widget && activeEditor(widget);
        },
        isWanted: () => settings.choices.tabIndents,
        indents: editor => ghosts.end(editor)
      });
      watchAlt(app.shell.node, {
        held: () => {
          const widget = here();
          if (settings.choices.holdToShow && widget) {
            session.isHeld = true;
            provider.show(widget, false);
          }
        },
        released: () => {
          if (session.isHeld) {
            session.isHeld = false;
            end();
          }
        }
      });
    }
    return { figures, ghosts, provider, session };
  }
};

const warmUp: JupyterFrontEndPlugin<void> = {
  id: 'santajupyter:warm-up',
  description:
    'Has the model read the notebook where you rest, before the first key.',
  autoStart: true,
  // Without JupyterLab's factory there is no ghost text to prepare for.
  requires: [IBase, ISuggestions, IInlineCompleterFactory],
  optional: [INotebookTracker],
  activate: (
    app: JupyterFrontEnd,
    { api, monitor }: IBase,
    { session }: ISuggestions,
    _factory: IInlineCompleterFactory,
    notebooks: INotebookTracker | null
  ): void => {
    const here = () => app.shell.currentWidget;
    const warmup = new Warmup(api, session, monitor, here);
    const warm = () => warmup.soon();
    app.shell.node.addEventListener('focusin', warm);
    notebooks?.activeCellChanged.connect(warm);
    NotebookActions.executed.connect(warm);
    monitor.servingChanged.connect(() => warmup.anew());
  }
};

const kernelBridge: JupyterFrontEndPlugin<void> = {
  id: 'santajupyter:kernel-bridge',
  description: 'Does what the buttons of the magics ask for.',
  autoStart: true,
  requires: [IBase, INotebookTracker],
  optional: [IConsoleTracker],
  activate: (
    _app: JupyterFrontEnd,
    { settings }: IBase,
    notebooks: INotebookTracker,
    consoles: IConsoleTracker | null
  ): void =>
    answerKernels({
      notebooks,
      consoles,
      runs: NotebookActions.executionScheduled,
      settings
    })
};

const status: JupyterFrontEndPlugin<IPanel> = {
  id: 'santajupyter:status',
  description:
    "The model's state in the status bar, with a menu and a panel for it.",
  autoStart: true,
  provides: IPanel,
  requires: [IBase],
  optional: [ISuggestions, IStatusBar, ICommandPalette, INotebookTracker],
  activate: (
    app: JupyterFrontEnd,
    { monitor, settings, trans }: IBase,
    suggestions: ISuggestions | null,
    statusBar: IStatusBar | null,
    palette: ICommandPalette | null,
    notebooks: INotebookTracker | null
  ): IPanel => {
    const openPanel = panelOpener({
      monitor,
      settings,
      figures: suggestions?.figures ?? new Figures(),
      trans,
      focusDocument: documentFocus(app.shell)
    });
    const where = () => {
      const widget = app.shell.currentWidget;
      return widget && activeEditor(widget) ? whereIs(widget) : null;
    };
    const why = () => {
      const widget = app.shell.currentWidget;
      return (widget && suggestions?.session.why(widget)) ?? null;
    };
    const standing = { settings, monitor, where, why };
    const openMenu = addMenu({ ...standing, app, palette, openPanel, trans });
    const item = new StatusItem(monitor, standing, trans, openMenu);
    const renew = () => item.update();
    settings.changed.connect(renew);
    notebooks?.activeCellChanged.connect(renew);
    app.shell.currentChanged?.connect(renew);
    statusBar?.registerStatusItem(PLUGIN_ID, {
      item,
      align: 'right',
      rank: 900,
      // Also where the window is narrow.
      priority: 1,
      isActive: () => monitor.status !== null || monitor.isAway,
      activeStateChanged: monitor.stateChanged
    });
    return openPanel;
  }
};

const commands: JupyterFrontEndPlugin<void> = {
  id: 'santajupyter:commands',
  description:
    'Commands for the model, for suggestions, and for code that is there.',
  autoStart: true,
  requires: [IBase, ISuggestions],
  optional: [IPanel, ICommandPalette, INotebookTracker],
  activate: (
    app: JupyterFrontEnd,
    { api, monitor, settings, trans }: IBase,
    { provider, session }: ISuggestions,
    openPanel: IPanel | null,
    palette: ICommandPalette | null,
    notebooks: INotebookTracker | null
  ): void => {
    const code = new CodeCommands(app.shell, provider, session, api, trans);
    addCommands({
      app,
      palette,
      monitor,
      settings,
      notebooks,
      code,
      openPanel,
      trans
    });
  }
};

const fix: JupyterFrontEndPlugin<void> = {
  id: 'santajupyter:fix',
  description:
    'Mends a cell that failed, by a command and a button at the error.',
  autoStart: true,
  requires: [IBase, ISuggestions, INotebookTracker],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    { api, trans }: IBase,
    { session }: ISuggestions,
    _notebooks: INotebookTracker,
    palette: ICommandPalette | null
  ): void => {
    const command = new FixCommand(app.shell, session, api, trans);
    addFixCommand(app, command, palette, trans);
  }
};

const events: JupyterFrontEndPlugin<void> = {
  id: 'santajupyter:events',
  description:
    "Tells the server's event logger what becomes of suggestions, without text, if the server is set so.",
  autoStart: true,
  requires: [IBase, ISuggestions],
  activate: (
    app: JupyterFrontEnd,
    { monitor }: IBase,
    { figures }: ISuggestions
  ): void => {
    const events = new SuggestionEvents(app.serviceManager.events, monitor);
    figures.happened.connect((_, outcome) => {
      void events.tell(outcome, shortName(monitor.serving ?? ''));
    });
  }
};

const hint: JupyterFrontEndPlugin<void> = {
  id: 'santajupyter:hint',
  description: 'Tells once what the keys of a suggestion are.',
  autoStart: true,
  requires: [IBase, ISuggestions],
  activate: (
    app: JupyterFrontEnd,
    { settings, trans }: IBase,
    { ghosts }: ISuggestions
  ): void => {
    const turnOff = () => void settings.set('enabled', false);
    ghosts.shown.connect(() => showHint(app.commands, trans, turnOff));
  }
};

const accessibility: JupyterFrontEndPlugin<void> = {
  id: 'santajupyter:accessibility',
  description:
    'Announces suggestions to screen readers, and shows them as text.',
  autoStart: true,
  requires: [IBase, ISuggestions],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    { settings, trans }: IBase,
    { ghosts }: ISuggestions,
    palette: ICommandPalette | null
  ): void => {
    const text = () => {
      const widget = app.shell.currentWidget;
      return widget ? ghosts.text(activeEditor(widget)) : '';
    };
    const imports = () => {
      const widget = app.shell.currentWidget;
      return widget ? ghosts.imports(activeEditor(widget)) : [];
    };
    const isWanted = () => settings.choices.announce;
    const announcer = new Announcer(trans, text, isWanted, imports);
    document.body.append(announcer.node);
    ghosts.shown.connect(() => announcer.announce());
    const whole = () => [...imports(), text()].join('\n');
    addViewCommand(app, whole, palette, trans);
  }
};

export default [
  base,
  suggestions,
  warmUp,
  kernelBridge,
  status,
  commands,
  fix,
  events,
  hint,
  accessibility
];
