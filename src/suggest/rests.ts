import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker } from '@jupyterlab/notebook';

import { activeEditor } from '../document/context';
import { watchBlankLines, watchEmptyEditors } from '../jupyterlab/blanklines';
import type { Ghosts } from '../jupyterlab/ghosts';
import type { Completers } from '../jupyterlab/internals';
import type { Monitor } from '../server/monitor';
import type { Settings } from '../settings';
import type { SantaProvider } from './provider';
import type { Session } from './session';

/** What it takes to suggest where nobody types. */
export interface IRestParts {
  shell: JupyterFrontEnd.IShell;
  completers: Completers;
  notebooks: INotebookTracker | null;
  monitor: Monitor;
  session: Session;
  settings: Settings;
  ghosts: Ghosts;
  provider: SantaProvider;
}

/**
 * Suggests where the user rests: on a new blank line, in an empty cell, where a model was
 * waited for, and where JupyterLab's list of completions was open.
 */
export function suggestAtRests({
  shell,
  completers,
  notebooks,
  monitor,
  session,
  settings,
  ghosts,
  provider
}: IRestParts): void {
  const here = () => shell.currentWidget;
  const delay = () => settings.choices.restDelay;
  const suggest = () => {
    const widget = here();
    if (widget) {
      provider.show(widget, false);
    }
  };
  completers.made.connect((_, completer) => {
    completer.textChanged.connect(() => {
      if (completer.editor?.hasFocus()) {
        session.pace.typed(performance.now());
      }
    });
    completer.othersChanged.connect((_, change) => {
      const widget = here();
      if (widget && activeEditor(widget) === completer.editor) {
        provider.othersChanged(widget, change);
      }
    });
  });
  watchBlankLines(completers, {
    isWanted: () => {
      const widget = here();
      return widget !== null && session.mayAsk(widget, true);
    },
    delay,
    knows: () => {
      const widget = here();
      return widget !== null && session.knows(widget);
    },
    suggest
  });
  watchEmptyEditors(shell.node, {
    delay,
    editor: () => {
      const widget = here();
      return widget && notebooks?.has(widget) ? activeEditor(widget) : null;
    },
    suggest: () => {
      // Who only looks at a cell doesn't want a model loaded.
      const widget = here();
      if (
        widget &&
        settings.choices.emptyCells &&
        monitor.isReady &&
        session.mayAsk(widget, true)
      ) {
        suggest();
      }
    }
  });
  ghosts.uncovered.connect((_, editor) => {
    const widget = here();
    if (widget && activeEditor(widget) === editor) {
      suggest();
    }
  });
  monitor.servingChanged.connect(() => {
    const widget = here();
    // The model that was waited for may know what the one before it didn't.
    if (
      monitor.serving &&
      widget &&
      activeEditor(widget)?.hasFocus() &&
      session.isUnanswered(widget)
    ) {
      suggest();
    }
  });
}
