import { Clipboard } from '@jupyterlab/apputils';

/** Puts a text into the clipboard; whether that was done. */
export async function copy(text: string): Promise<boolean> {
  try {
    // Absent where the page came over plain HTTP from another host.
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByEvent(text);
  }
}

/** The older way, which a browser allows only right after a click or a key. */
function copyByEvent(text: string): boolean {
  let isCopied = false;
  const fill = (event: ClipboardEvent) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    event.clipboardData?.setData('text/plain', text);
    isCopied = event.clipboardData !== null;
  };
  document.addEventListener('copy', fill, true);
  Clipboard.generateEvent(document.body);
  document.removeEventListener('copy', fill, true);
  return isCopied;
}
