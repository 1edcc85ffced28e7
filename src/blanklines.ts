import type { CodeEditor } from '@jupyterlab/codeeditor';
import type {
  IInlineCompleterFactory,
  InlineCompleter
} from '@jupyterlab/completer';

type Model = NonNullable<InlineCompleter['model']>;
type TextChange = Parameters<Model['handleTextChange']>[0];

/** How long after Enter the user must rest before the new line gets a suggestion. */
const REST = 400;

/**
 * Calls `suggest` when the user rests on a blank line that Enter just made.
 * JupyterLab asks providers while the user types, but never on a blank line.
 */
export function watchBlankLines(
  factory: IInlineCompleterFactory,
  suggest: () => void
): void {
  const make = factory.factory.bind(factory);
  factory.factory = options => {
    const completer = make(options);
    watch(completer, suggest);
    return completer;
  };
}

function watch(completer: InlineCompleter, suggest: () => void): void {
  const { model } = completer;
  if (!model) {
    return;
  }
  let timer = 0;
  const handle = model.handleTextChange.bind(model);
  model.handleTextChange = change => {
    handle(change);
    window.clearTimeout(timer);
    if (addsLine(change)) {
      timer = window.setTimeout(() => {
        const { editor } = completer;
        if (editor && !completer.isActive && rests(editor)) {
          suggest();
        }
      }, REST);
    }
  };
}

function addsLine(change: TextChange): boolean {
  const parts = change.sourceChange ?? [];
  return parts.some(
    ({ insert }) => typeof insert === 'string' && insert.includes('\n')
  );
}

function rests(editor: CodeEditor.IEditor): boolean {
  if (editor.isDisposed || !editor.hasFocus()) {
    return false;
  }
  const { start, end } = editor.getSelection();
  return (
    start.line === end.line &&
    start.column === end.column &&
    editor.getLine(start.line)?.trim() === ''
  );
}
