import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import {
  type CodeEditor,
  IEditorMimeTypeService
} from '@jupyterlab/codeeditor';
import { Text } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import {
  type ICompletionRequest,
  type IDocumentation,
  ServerError
} from '../server/protocol';
import type { IPlace } from '../document/types';
import { type SantaApi } from '../server/api';
import { belowComment, type ITarget } from './belowcomment';
import { activeEditor } from '../document/context';
import { hasVim } from '../jupyterlab/internals';
import { OthersChanges } from '../jupyterlab/otherschanges';
import type { SantaProvider } from '../suggest/provider';
import type { Session } from '../suggest/session';
import type { Reply, Run } from '../suggest/reply';

const MESSAGE_TIME = 5000;
const NOWHERE: IPlace = { editor: '', prefix: '', suffix: '' };

/** Where a command was given: an editor, its text, and what is selected there. */
interface ISpot {
  widget: Widget;
  editor: CodeEditor.IEditor;
  text: string;
  from: number;
  to: number;
  /** What others changed since. */
  others: OthersChanges;
}

/**
 * Commands for code that is there. Nothing is changed before the user accepts the
 * ghost text that shows what would be; without one a message says why.
 */
export class CodeCommands {
  constructor(
    private readonly _shell: JupyterFrontEnd.IShell,
    private readonly _provider: Pick<SantaProvider, 'show'>,
    private readonly _session: Session,
    private readonly _api: SantaApi,
    private readonly _trans: TranslationBundle
  ) {}

  get isEnabled(): boolean {
    const widget = this._shell.currentWidget;
    const editor = widget && activeEditor(widget);
    return (
      !!editor &&
      editor.getOption('readOnly') !== true &&
      this._session.mayAsk(widget)
    );
  }

  /** Several lines at the cursor, wherever that is. */
  async completeHere(): Promise<void> {
    await this._at(spot => this._fill(spot, { at: spot.to, lead: '' }));
  }

  /** The code that the comment at or above the cursor, or in the selection, asks for. */
  async generate(): Promise<void> {
    await this._at(spot => this._generate(spot));
  }

  /** Documentation for the function around the cursor. */
  async writeDocstring(): Promise<void> {
    await this._at(spot => this._writeDocstring(spot));
  }

  private async _generate(spot: ISpot): Promise<void> {
    const { editor, text, from, to } = spot;
    const target = belowComment(text, from, to, index =>
      isComment(editor, index)
    );
    if (target) {
      await this._fill(spot, target);
    } else if (from < to) {
      this._say(this._trans.__('No comment is selected.'));
    } else {
      this._say(
        this._trans.__('There is no comment at the cursor or right above it.')
      );
    }
  }

  private async _writeDocstring(spot: ISpot): Promise<void> {
    const request = this._request(spot, spot.text, spot.to);
    let found: IDocumentation | null = null;
    // Where the words go is known when they come.
    const asking = this._begin(spot, NOWHERE, async signal => {
      found = await this._api.docstring(request, signal);
      return '';
    });
    if ((await this._ends(asking)) && found) {
      await this._document(spot, request, found);
    }
  }

  private async _document(
    spot: ISpot,
    request: ICompletionRequest,
    { at, text, message }: IDocumentation
  ): Promise<void> {
    if (!text) {
      this._say(message);
      return;
    }
    // Of a long cell the server may have seen a part.
    const { source } = request.cells[request.active];
    const sent = (offset: number) => Text.charIndexToJsIndex(offset, source);
    let index = spot.to + sent(at) - sent(request.offset);
    if (text.endsWith('\n') && spot.text[index - 1] === '\n') {
      // Ghost text looks better at a line's end than before the line below.
      index--;
      text = '\n' + text.slice(0, -1);
    }
    const now = this._now(spot, index);
    if (now) {
      const reply = this._begin(spot, now, () => Promise.resolve(text));
      await this._show(spot, index, reply);
    }
  }

  private async _fill(spot: ISpot, { at, lead }: ITarget): Promise<void> {
    const target = place(spot.editor, spot.text, at);
    const text = target.prefix + lead + target.suffix;
    const request = this._request(spot, text, at + lead.length);
    const led = (made: string) => made && lead + made;
    const reply: Reply = this._begin(spot, target, async (signal, onText) => {
      const tell = (made: string) => onText(led(made));
      const made = await this._api.complete(request, signal, tell);
      reply.imports = made.imports ?? [];
      return led(made.text);
    });
    await this._show(spot, at, reply);
  }

  /** Shows the reply as ghost text at its place in the text of the spot as it comes, if the user is still there. */
  private async _show(spot: ISpot, at: number, reply: Reply): Promise<void> {
    while (!reply.isDone && !reply.hasText) {
      await reply.changed(reply.version);
    }
    if (reply.hasText && !reply.isAborted) {
      const { editor, widget } = spot;
      const now = this._now(spot, at);
      if (!now || !this._session.offer(reply, widget, now)) {
        reply.abort();
        return;
      }
      const cursor = editor.getPositionAt(now.prefix.length);
      if (cursor) {
        editor.focus();
        editor.setCursorPosition(cursor);
        this._provider.show(widget, true);
      }
    }
    if ((await this._ends(reply)) && !reply.hasText) {
      this._say(this._trans.__('The model had nothing to add.'));
    }
  }

  /** Whether the request ends well: nobody ended it, and no error, which is told. */
  private async _ends(reply: Reply): Promise<boolean> {
    while (!reply.isDone) {
      await reply.changed(reply.version);
    }
    const { error, isAborted } = reply;
    if (isAborted || (error instanceof ServerError && error.status === 409)) {
      return false;
    }
    if (error) {
      const { message } = error as Error;
      this._say(this._trans.__('No code completion: %1', message));
    }
    return !error;
  }

  private _begin(spot: ISpot, place: IPlace, run: Run): Reply {
    spot.editor.focus();
    const reply = this._session.begin(spot.widget, place, run);
    void endWithEscape(reply, spot.editor);
    return reply;
  }

  private _request(
    { widget, editor }: ISpot,
    text: string,
    index: number
  ): ICompletionRequest {
    return this._session.order(widget, {
      text,
      offset: Text.jsIndexToCharIndex(index, text),
      mimeType: editor.model.mimeType
    });
  }

  /** Does something where the command is given. */
  private async _at(use: (spot: ISpot) => Promise<void>): Promise<void> {
    const widget = this._shell.currentWidget;
    const editor = widget && activeEditor(widget);
    if (!editor || !this.isEnabled) {
      return;
    }
    const state = stateOf(editor);
    if (state.text.includes('\r')) {
      this._say(
        this._trans.__(
          'JupyterLab writes astray in a cell with CR LF line breaks: copy its text into a new cell.'
        )
      );
      return;
    }
    const others = new OthersChanges(editor);
    try {
      await use({ widget, editor, ...state, others });
    } finally {
      others.dispose();
    }
  }

  /** Where a place of the spot's text is now; null, and a word, where it is void. */
  private _now({ editor, from, to, others }: ISpot, at: number): IPlace | null {
    const { currentWidget } = this._shell;
    const isHere =
      this.isEnabled && currentWidget && activeEditor(currentWidget) === editor;
    const now = isHere ? stateOf(editor) : null;
    if (
      !now ||
      !others.isMoved(from, now.from) ||
      !others.isMoved(to, now.to) ||
      others.isOwn
    ) {
      this._say(this._trans.__('You went on before the model had answered.'));
      return null;
    }
    const index = others.follow(at, from < at ? from : to);
    if (index === null) {
      this._say(
        this._trans.__(
          'Somebody else changed this text before the model had answered.'
        )
      );
      return null;
    }
    return place(editor, now.text, index);
  }

  private _say(message: string): void {
    Notification.info(message, { autoClose: MESSAGE_TIME });
  }
}

function stateOf(
  editor: CodeEditor.IEditor
): Pick<ISpot, 'text' | 'from' | 'to'> {
  const { start, end } = editor.getSelection();
  const ends = [editor.getOffsetAt(start), editor.getOffsetAt(end)];
  return {
    text: editor.model.sharedModel.getSource(),
    from: Math.min(...ends),
    to: Math.max(...ends)
  };
}

/** Whether a character is part of a comment; without a kernel there may be no language to tell. */
function isComment(editor: CodeEditor.IEditor, index: number): boolean {
  if (editor.model.mimeType === IEditorMimeTypeService.defaultMimeType) {
    const line = editor.getPositionAt(index)?.line ?? 0;
    return /^\s*(#|\/\/)/.test(editor.getLine(line) ?? '');
  }
  return /comment/i.test(editor.getTokenAt(index + 1)?.type ?? '');
}

function place(
  editor: CodeEditor.IEditor,
  text: string,
  index: number
): IPlace {
  return {
    editor: editor.uuid,
    prefix: text.slice(0, index),
    suffix: text.slice(index)
  };
}

/** Lets the user end the request with Escape in the editor, which then does nothing else but in vim. */
async function endWithEscape(
  reply: Reply,
  editor: CodeEditor.IEditor
): Promise<void> {
  const { host } = editor;
  const listen = (event: KeyboardEvent) => {
    // An input method's Escape is its own.
    if (event.key === 'Escape' && !event.isComposing) {
      if (!hasVim(editor)) {
        event.preventDefault();
        event.stopPropagation();
      }
      reply.abort();
    }
  };
  host.addEventListener('keydown', listen, true);
  while (!reply.isDone) {
    await reply.changed(reply.version);
  }
  host.removeEventListener('keydown', listen, true);
}
