import type { CodeEditor } from '@jupyterlab/codeeditor';
import type {
  IInlineCompleterFactory,
  InlineCompleter
} from '@jupyterlab/completer';

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
      }
      return completer;
    };
  }

  private _completers = new Set<InlineCompleter>();
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
