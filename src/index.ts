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
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { addAcceptCommands } from './jupyterlab/accept';
import { SantaApi } from './server/api';
import { watchBlankLines, watchEmptyEditors } from './jupyterlab/blanklines';
import { activeEditor } from './document/context';
import { answerKernels } from './commands/bridge';
import { CodeCommands } from './commands/codecommands';
import { addCommands } from './commands/commands';
import { Figures } from './ui/figures';
import { Ghosts } from './jupyterlab/ghosts';
import { KernelFacts } from './document/kernelfacts';
import { Monitor } from './server/monitor';
import { Notices } from './ui/notices';
import { panelOpener } from './ui/panel';
import { SantaProvider } from './suggest/provider';
import { Settings } from './settings';
import { StatusItem } from './ui/status';
import { Warmup } from './suggest/warmup';

const PLUGIN_ID = 'santajupyter:plugin';

const plugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN_ID,
  description: 'Suggests code from a model on the computer of your kernels.',
  autoStart: true,
  requires: [ICompletionProviderManager],
  optional: [
    IInlineCompleterFactory,
    ISettingRegistry,
    ITranslator,
    ICommandPalette,
    IStatusBar,
    INotebookTracker,
    IConsoleTracker
  ],
  // JupyterLab asks for the providers once, as it starts: nothing here may wait.
  activate: (
    app: JupyterFrontEnd,
    manager: ICompletionProviderManager,
    factory: IInlineCompleterFactory | null,
    registry: ISettingRegistry | null,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    statusBar: IStatusBar | null,
    notebooks: INotebookTracker | null,
    consoles: IConsoleTracker | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('santajupyter');
    const api = new SantaApi(app.serviceManager.serverSettings);
    const settings = new Settings(PLUGIN_ID, registry);
    const monitor = new Monitor(api, new Notices(trans));
    const ghosts = new Ghosts(factory);
    const facts = new KernelFacts(settings);
    const provider = new SantaProvider(api, settings, ghosts, monitor, facts);
    manager.registerInlineProvider(provider);
    const suggest = (widget: Widget | null) => {
      if (widget) {
        provider.unasked(() => manager.inline?.invoke(widget.id));
      }
    };
    const here = () => app.shell.currentWidget;
    const delay = () => settings.choices.restDelay;
    ghosts.others = async () => {
      const widget = here();
      return widget ? provider.others(widget) : [];
    };
    if (factory) {
      addAcceptCommands(app, factory, ghosts, trans);
      watchBlankLines(factory, {
        delay,
        knows: () => {
          const widget = here();
          return widget !== null && provider.knows(widget);
        },
        suggest: () => suggest(here())
      });
      watchEmptyEditors(app.shell.node, {
        delay,
        editor: () => {
          const widget = here();
          return widget && notebooks?.has(widget) ? activeEditor(widget) : null;
        },
        suggest: () => {
          // Who only looks at a cell doesn't want a model loaded.
          if (settings.choices.emptyCells && monitor.isReady) {
            suggest(here());
          }
        }
      });
    }
    // Without a factory there is no ghost text to prepare for.
    const warmup = new Warmup(api, provider, monitor, () =>
      factory ? here() : null
    );
    const warm = () => warmup.soon();
    app.shell.node.addEventListener('focusin', warm);
    notebooks?.activeCellChanged.connect(warm);
    NotebookActions.executed.connect(warm);
    let serving: string | null = null;
    monitor.stateChanged.connect(() => {
      if (monitor.serving === serving) {
        return;
      }
      serving = monitor.serving;
      const widget = here();
      // The model that was waited for may know what the one before it didn't.
      if (
        serving &&
        widget &&
        activeEditor(widget)?.hasFocus() &&
        provider.isUnanswered(widget)
      ) {
        suggest(widget);
      } else {
        warmup.anew();
      }
    });
    if (notebooks) {
      answerKernels({ notebooks, consoles, settings });
    }
    const figures = new Figures();
    ghosts.shown.connect(() => figures.shown());
    ghosts.accepted.connect((_, { text }) => figures.accepted(text));
    const focusDocument = () => app.shell.currentWidget?.activate();
    const openPanel = panelOpener({
      monitor,
      settings,
      figures,
      trans,
      focusDocument
    });
    const code = new CodeCommands(app.shell, manager, provider, api, trans);
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
    statusBar?.registerStatusItem(PLUGIN_ID, {
      item: new StatusItem(monitor, trans, openPanel),
      align: 'right',
      rank: 900,
      isActive: () => monitor.status !== null,
      activeStateChanged: monitor.stateChanged
    });
  }
};

export default plugin;
