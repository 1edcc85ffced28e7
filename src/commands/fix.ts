import type { JupyterFrontEnd } from '@jupyterlab/application';
import { type ICommandPalette, Notification } from '@jupyterlab/apputils';
import type { ICodeCellModel } from '@jupyterlab/cells';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import { Text } from '@jupyterlab/coreutils';
import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { SantaApi } from '../server/api';
import { type IFix, ServerError } from '../server/protocol';
import { activeEditor, mimeLanguage } from '../document/context';
import { hasFailed } from '../document/outputs';
import {
  applyChanges,
  type IChange,
  type IDiff,
  showDiff
} from '../jupyterlab/diff';
import { addAtOutput } from '../jupyterlab/errors';
import { undoneAlone } from '../jupyterlab/internals';
import { OthersChanges } from '../jupyterlab/otherschanges';
import type { Session } from '../suggest/session';

const FIX = 'santajupyter:fix';
const MESSAGE_TIME = 5000;

/** Mends the line of the active cell that raised its error, once the user accepts the diff. */
export class FixCommand {
  constructor(
    private readonly _shell: JupyterFrontEnd.IShell,
    private readonly _session: Pick<
      Session,
      'end' | 'mayAsk' | 'order' | 'upcoming'
    >,
    private readonly _api: Pick<SantaApi, 'fix'>,
    private readonly _trans: TranslationBundle
  ) {}

  /** Whether the active cell's last run failed, and it may be asked what mends it. */
  get isEnabled(): boolean {
    const widget = this._shell.currentWidget;
    if (!(widget instanceof NotebookPanel)) {
      return false;
    }
    const model = widget.content.activeCell?.model;
    return (
      model?.type === 'code' &&
      hasFailed(model as ICodeCellModel) &&
      activeEditor(widget)?.getOption('readOnly') !== true &&
      this._session.mayAsk(widget)
    );
  }

  async execute(): Promise<void> {
    const widget = this._shell.currentWidget;
    const editor = widget && activeEditor(widget);
    if (!editor || !this.isEnabled) {
      return;
    }
    this.end();
    const text = editor.model.sharedModel.getSource();
    if (text.includes('\r')) {
      this._say(
        this._trans.__(
          'JupyterLab writes astray in a cell with CR LF line breaks: copy its text into a new cell.'
        )
      );
      return;
    }
    editor.focus();
    this._session.end(widget);
    // What the kernel has is read by then.
    await this._session.upcoming(widget);
    const request = this._session.order(widget, {
      text,
      offset: 0,
      mimeType: editor.model.mimeType
    });
    this._asking.abort();
    const { signal } = (this._asking = new AbortController());
    const others = new OthersChanges(editor);
    let found: IFix;
    try {
      found = await this._api.fix(request, signal);
    } catch (error) {
      const isSuperseded = error instanceof ServerError && error.status === 409;
      if (!signal.aborted && !isSuperseded) {
        const { message } = error as Error;
        this._say(this._trans.__('No code completion: %1', message));
      }
      return;
    } finally {
      others.dispose();
    }
    if (!signal.aborted && !editor.isDisposed) {
      this._show(editor, found, this._changes(found, text, others));
    }
  }

  /** Takes the diff away, and forgets what is asked. */
  end(): void {
    this._asking.abort();
    this._diff?.end();
  }

  /** What is found, where others have moved it by now; null where somebody changed that text. */
  private _changes(
    { edits }: IFix,
    source: string,
    others: OthersChanges
  ): IChange[] | null {
    const changes: IChange[] = [];
    for (const { text, ...edit } of edits) {
      const start = Text.charIndexToJsIndex(edit.start, source);
      const end = Text.charIndexToJsIndex(edit.end, source);
      const now = others.isOwn ? null : others.follow(start, end);
      if (now === null) {
        return null;
      }
      changes.push({ start: now, end: now + end - start, text });
    }
    return changes;
  }

  private _show(
    editor: CodeEditor.IEditor,
    found: IFix,
    changes: IChange[] | null
  ): void {
    if (!changes) {
      this._say(
        this._trans.__('The text was changed before there was an answer.')
      );
      return;
    }
    if (changes.length === 0) {
      this._say(this._why(found));
      return;
    }
    const accept = () => {
      const now = this._diff?.changes ?? changes;
      this._diff?.end();
      if (editor.getOption('readOnly') !== true) {
        undoneAlone(editor, () => applyChanges(editor, now));
      }
      editor.focus();
    };
    const dismiss = () => {
      this._diff?.end();
      editor.focus();
    };
    const bar = this._bar(this._why(found), accept, dismiss);
    const keys = (event: KeyboardEvent) =>
      this._press(event, editor, bar, accept, dismiss);
    // JupyterLab's own keys are heard by the document.
    window.addEventListener('keydown', keys, true);
    this._diff = showDiff(editor, changes, bar, () => {
      window.removeEventListener('keydown', keys, true);
      this._diff = null;
    });
    if (!this._diff) {
      window.removeEventListener('keydown', keys, true);
      return;
    }
    this._goTo(editor, changes[0]);
  }

  private _goTo(editor: CodeEditor.IEditor, { start }: IChange): void {
    const position = editor.getPositionAt(start);
    if (position) {
      editor.setCursorPosition(position);
      editor.revealPosition(position);
    }
  }

  private _press(
    event: KeyboardEvent,
    editor: CodeEditor.IEditor,
    bar: HTMLElement,
    accept: () => void,
    dismiss: () => void
  ): void {
    const { key, shiftKey, isComposing } = event;
    const isPlain = !(event.altKey || event.ctrlKey || event.metaKey);
    const isInBar = bar.contains(document.activeElement);
    if (!(editor.hasFocus() || isInBar) || isComposing || !isPlain) {
      return;
    }
    if (isInBar && key === 'Enter') {
      // The button's own, not the notebook's.
      event.stopPropagation();
      return;
    }
    if (key === 'Escape' || (key === 'Tab' && !shiftKey && !isInBar)) {
      event.preventDefault();
      event.stopPropagation();
      (key === 'Escape' ? dismiss : accept)();
    }
  }

  private _bar(
    why: string,
    accept: () => void,
    dismiss: () => void
  ): HTMLElement {
    const bar = document.createElement('div');
    bar.className = 'santa-Diff-bar';
    bar.setAttribute('role', 'status');
    const said = document.createElement('span');
    said.textContent = why;
    bar.append(
      said,
      button(this._trans.__('Accept (Tab)'), accept),
      button(this._trans.__('Dismiss (Esc)'), dismiss)
    );
    return bar;
  }

  private _why({ reason, words, why }: IFix): string {
    const trans = this._trans;
    switch (reason) {
      case 'name':
        return trans.__('There is no %1, but %2.', words[0], words[1]);
      case 'syntax':
        return trans.__('So it is Python.');
      case 'line':
        return trans.__('So the model would write the line.');
      case 'gone':
        return trans.__(
          "The line that failed isn't in the cell any more: run it again."
        );
      case 'elsewhere':
        return trans.__('%1 is made elsewhere: run that first.', words[0]);
      case 'no-error':
        return trans.__("This cell's last run has no error.");
      case 'language':
        return trans.__('Only Python can be mended.');
      case 'nothing':
        return trans.__('Nothing was found that would mend the error.');
      case 'import':
        return trans.__('%1 is not imported.', words[0]);
      default:
        return why;
    }
  }

  private _say(message: string): void {
    Notification.info(message, { autoClose: MESSAGE_TIME });
  }

  private _asking = new AbortController();
  private _diff: IDiff | null = null;
}

/** Adds the command *Fix the Error Here*, and a button for it at the output of each run that fails. */
export function addFixCommand(
  app: JupyterFrontEnd,
  fix: FixCommand,
  palette: ICommandPalette | null,
  trans: TranslationBundle
): void {
  const { commands, shell } = app;
  const label = trans.__('Fix the Error Here');
  commands.addCommand(FIX, {
    label,
    caption: trans.__('Show what would mend the line that failed'),
    isEnabled: () => fix.isEnabled,
    execute: () => fix.execute()
  });
  palette?.addItem({ command: FIX, category: trans.__('SantaJupyter') });
  NotebookActions.executionScheduled.connect(() => fix.end());
  NotebookActions.executed.connect((_, { notebook, cell, success }) => {
    commands.notifyCommandChanged(FIX);
    const mimeType = cell.model.mimeType;
    if (success || mimeLanguage(mimeType) !== 'python') {
      return;
    }
    addAtOutput(cell, label, () => {
      const panel = shell.currentWidget;
      if (panel instanceof NotebookPanel && panel.content === notebook) {
        notebook.activeCellIndex = notebook.widgets.indexOf(cell);
        void fix.execute();
      }
    });
  });
}

function button(label: string, clicked: () => void): HTMLElement {
  const node = document.createElement('button');
  node.type = 'button';
  node.className = 'jp-mod-styled jp-mod-minimal';
  node.textContent = label;
  node.addEventListener('click', clicked);
  // The cursor stays where it is.
  node.addEventListener('mousedown', event => event.preventDefault());
  return node;
}
