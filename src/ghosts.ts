import type { CodeEditor } from '@jupyterlab/codeeditor';
import type {
  IInlineCompleterFactory,
  IInlineCompletionItem,
  InlineCompleter
} from '@jupyterlab/completer';
import { type ISignal, Signal } from '@lumino/signaling';

/** What goes to JupyterLab; `suggestion` stays the same while the user types through it. */
export interface IGhostItem extends IInlineCompletionItem {
  suggestion: object;
}

/** How much of a ghost was accepted at once. */
export type Part = 'whole' | 'word' | 'line';

/** Text that went into the document out of one of our ghosts. */
export interface IAccepted {
  text: string;
  part: Part;
}

/**
 * The ghost texts on the screen. JupyterLab leaves some behind that no longer fit
 * the text: accepting one would overwrite code, and one without text would swallow
 * the Tab key. Those are ended here.
 */
export class Ghosts {
  constructor(factory: IInlineCompleterFactory | null) {
    if (factory) {
      this._watch(factory);
    }
  }

  /** Emits the text of each of our suggestions when it is first on the screen; more may stream in. */
  get shown(): ISignal<this, string> {
    return this._shown;
  }

  /** Emits what the user accepted of our suggestions, by whatever command. */
  get accepted(): ISignal<this, IAccepted> {
    return this._accepted;
  }

  /** Ends the ghost in an editor unless it still has text and stands at the cursor. */
  tidy(editor: CodeEditor.IEditor | null): void {
    for (const completer of this._of(editor)) {
      tidy(completer);
    }
  }

  /** Ends the ghost in an editor. */
  dismiss(editor: CodeEditor.IEditor | null): void {
    for (const completer of this._of(editor)) {
      completer.model?.reset();
    }
  }

  private _of(editor: CodeEditor.IEditor | null): InlineCompleter[] {
    return editor
      ? [...this._completers].filter(completer => completer.editor === editor)
      : [];
  }

  private _watch(factory: IInlineCompleterFactory): void {
    const make = factory.factory.bind(factory);
    factory.factory = options => {
      const completer = make(options);
      this._completers.add(completer);
      completer.disposed.connect(() => this._completers.delete(completer));
      if (completer.model) {
        tidyOnMove(completer, completer.model);
        appendToNothing(completer.model);
        completer.model.suggestionsChanged.connect(() => this._look(completer));
      }
      this._tellAccepted(completer);
      return completer;
    };
  }

  private _tellAccepted(completer: InlineCompleter): void {
    const accept = completer.accept.bind(completer);
    completer.accept = () => {
      // The ghost gets shorter as its text goes in.
      const text = ours(completer)?.insertText;
      accept();
      if (text) {
        this._accepted.emit({ text, part: 'whole' });
      }
    };
  }

  private _look(completer: InlineCompleter): void {
    const ghost = ours(completer);
    if (ghost?.insertText && !this._seen.has(ghost.suggestion)) {
      this._seen.add(ghost.suggestion);
      this._shown.emit(ghost.insertText);
    }
  }

  private _accepted = new Signal<this, IAccepted>(this);
  private _completers = new Set<InlineCompleter>();
  private _seen = new WeakSet<object>();
  private _shown = new Signal<this, string>(this);
}

/** The ghost that the completer shows, if it is ours. */
function ours(completer: InlineCompleter): IGhostItem | null {
  const { current } = completer;
  return current && 'suggestion' in current ? (current as IGhostItem) : null;
}

/** Ends the completer's ghost when the cursor leaves it. */
function tidyOnMove(completer: InlineCompleter, model: InlineCompleter.IModel) {
  const handle = model.handleSelectionChange.bind(model);
  model.handleSelectionChange = range => {
    handle(range);
    // When typing moved the cursor, the completer hears of the text after this.
    setTimeout(() => tidy(completer), 0);
  };
}

/** Shows a reply too that comes after another provider's failure, which left nothing to append to. */
function appendToNothing(model: InlineCompleter.IModel) {
  const append = model.appendCompletions.bind(model);
  model.appendCompletions = reply => {
    if (model.completions) {
      append(reply);
    } else {
      model.setCompletions(reply);
    }
  };
}

function tidy(completer: InlineCompleter): void {
  const { editor, model } = completer;
  if (!editor || editor.isDisposed || !model || !completer.isActive) {
    return;
  }
  if (!completer.current || !isAtCursor(editor, model.cursor)) {
    model.reset();
  }
}

function isAtCursor(
  editor: CodeEditor.IEditor,
  { line, column }: CodeEditor.IPosition
): boolean {
  const cursor = editor.getCursorPosition();
  return cursor.line === line && cursor.column === column;
}
