import type { CodeEditor } from '@jupyterlab/codeeditor';

/** What JupyterLab marks an editor with while its list of completions is open there. */
const OPEN = 'jp-mod-completer-active';

/** Whether JupyterLab's list of completions is open in an editor. */
export function isPopupOpen(editor: CodeEditor.IEditor | null): boolean {
  return editor?.host?.classList.contains(OPEN) ?? false;
}

/** Tells each time that the list opens or closes in an editor. */
export function watchPopup(
  editor: CodeEditor.IEditor,
  changed: (isOpen: boolean) => void
): void {
  let wasOpen = isPopupOpen(editor);
  new MutationObserver(() => {
    const isOpen = isPopupOpen(editor);
    if (isOpen !== wasOpen) {
      wasOpen = isOpen;
      changed(isOpen);
    }
  }).observe(editor.host, { attributeFilter: ['class'] });
}
