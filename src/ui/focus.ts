import type { JupyterFrontEnd } from '@jupyterlab/application';

import { activeEditor } from '../document/context';

/** What gives the focus back to the document that the user works in: who was typing goes on typing. */
export function documentFocus(shell: JupyterFrontEnd.IShell): () => void {
  let wasTyping = false;
  // Palette and panel, which have the focus later, are no part of the shell.
  shell.node.addEventListener('focusin', ({ target }) => {
    wasTyping = target instanceof Element && !!target.closest('.cm-content');
  });
  return () => {
    const widget = shell.currentWidget;
    const editor = widget && wasTyping ? activeEditor(widget) : null;
    if (editor) {
      editor.focus();
    } else {
      widget?.activate();
    }
  };
}
