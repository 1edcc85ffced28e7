import type { CodeEditor } from '@jupyterlab/codeeditor';

/** What is to be known of Tab. */
interface ITabParts {
  /** The one that the user types into. */
  editor(): CodeEditor.IEditor | null;
  isWanted(): boolean;
  /** Takes away what would have the key. */
  indents(editor: CodeEditor.IEditor): void;
}

/** Leaves Tab to the editor where only blanks stand before the cursor, if that is wanted. */
export function watchTab({ editor, isWanted, indents }: ITabParts): void {
  // JupyterLab takes the key for a suggestion as the document hears of it.
  window.addEventListener(
    'keydown',
    ({ key }) => {
      const typedInto = key === 'Tab' && isWanted() ? editor() : null;
      if (typedInto?.hasFocus() && isAtLineBeginning(typedInto)) {
        indents(typedInto);
      }
    },
    true
  );
}

function isAtLineBeginning(editor: CodeEditor.IEditor): boolean {
  const { line, column } = editor.getCursorPosition();
  return (editor.getLine(line) ?? '').slice(0, column).trim() === '';
}
