import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, type ICommandPalette, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

const VIEW = 'santajupyter:view';

/** Adds the command that shows the suggestion at the cursor as text; it is there again afterwards. */
export function addViewCommand(
  { commands }: JupyterFrontEnd,
  text: () => string,
  palette: ICommandPalette | null,
  trans: TranslationBundle
): void {
  commands.addCommand(VIEW, {
    label: trans.__('Read the Suggestion'),
    execute: async () => {
      const shown = text();
      await viewSuggestion(shown, trans);
      if (shown) {
        // It went with the focus.
        await commands.execute('inline-completer:invoke');
      }
    }
  });
  palette?.addItem({ command: VIEW, category: trans.__('SantaJupyter') });
}

/** Shows a suggestion where it can be read piece by piece and copied. */
async function viewSuggestion(
  text: string,
  trans: TranslationBundle
): Promise<void> {
  const area = document.createElement('textarea');
  area.className = 'santa-View-text';
  area.readOnly = true;
  area.spellcheck = false;
  area.rows = Math.min(20, text.split('\n').length + 1);
  area.value = text || trans.__('There is no suggestion at the cursor.');
  area.ariaLabel = trans.__('The suggestion');
  // JupyterLab looks for what to focus within the body.
  const body = new Widget();
  body.node.append(area);
  await showDialog({
    title: trans.__('Suggestion'),
    body,
    buttons: [Dialog.okButton({ label: trans.__('Close') })],
    focusNodeSelector: 'textarea'
  });
}
