import type { CodeEditor } from '@jupyterlab/codeeditor';

import type { Completer, Completers, TextChange } from './internals';

/** Who suggests something where the cursor is. */
interface ISuggester {
  suggest(): void;
  /** Milliseconds that the user must rest first. */
  delay(): number;
}

/** `knows` tells whether the answer is there already: who accepted text that ends with the line needs no rest for that. */
interface ILineSuggester extends ISuggester {
  isWanted(): boolean;
  knows(): boolean;
}

/** `editor` is the one that counts, if it has the focus. */
interface IEditorSuggester extends ISuggester {
  editor(): CodeEditor.IEditor | null;
}

/**
 * Asks when the user rests on a blank line that Enter just made. JupyterLab asks
 * providers while the user types, but never on a blank line.
 */
export function watchBlankLines(
  completers: Completers,
  suggester: ILineSuggester
): void {
  completers.made.connect((_, completer) => watch(completer, suggester));
}

/** Asks when the user rests in an empty editor that just got the focus. */
export function watchEmptyEditors(
  node: HTMLElement,
  { delay, editor, suggest }: IEditorSuggester
): void {
  let timer = 0;
  const isEmpty = () => editor()?.model.sharedModel.getSource() === '';
  const look = () => {
    if (isEmpty() && editor()?.hasFocus()) {
      suggest();
    }
  };
  node.addEventListener('focusin', () => {
    window.clearTimeout(timer);
    timer = isEmpty() ? window.setTimeout(look, delay()) : 0;
  });
}

function watch(completer: Completer, suggester: ILineSuggester): void {
  let timer = 0;
  /** Whether the blank line is one that the user just made, perhaps with another indentation since. */
  let isNew = false;
  /** Whether it came with other text. After Enter a Tab may follow, to indent, which would accept what is shown. */
  let isAccepted = false;
  const waits = () => {
    const { editor } = completer;
    isNew &&= !!editor && rests(editor);
    return isNew && !completer.isActive;
  };
  const suggest = () => {
    if (waits()) {
      suggester.suggest();
    }
  };
  const look = () => {
    if (waits() && suggester.isWanted()) {
      timer = window.setTimeout(
        suggest,
        isAccepted && suggester.knows() ? 0 : suggester.delay()
      );
    }
  };
  completer.textChanged.connect((_, change) => {
    const added = addedBy(change);
    isNew ||= added.includes('\n');
    isAccepted = added.includes('\n') && added.trim() !== '';
    window.clearTimeout(timer);
    if (!isNew) {
      return;
    }
    // The editor is in the middle of its update.
    timer = window.setTimeout(look, 0);
  });
}

function addedBy({ sourceChange = [] }: TextChange): string {
  return sourceChange.map(({ insert = '' }) => insert).join('');
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
