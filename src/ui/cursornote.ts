import type { CodeEditor } from '@jupyterlab/codeeditor';

/** Milliseconds for which a word at the cursor stays. */
const STAY = 4000;

/** Shows a word below the cursor, or above it where the window ends, until the next key, or a moment later. */
export class CursorNote {
  constructor() {
    this._node.className = 'santa-CursorNote';
    // Screen readers tell what comes into what is there already.
    this._node.setAttribute('role', 'status');
    document.body.append(this._node);
  }

  show(editor: CodeEditor.IEditor, text: string): void {
    this.hide();
    const at = editor.getCoordinateForPosition(editor.getCursorPosition());
    if (!at) {
      return;
    }
    const { style } = this._node;
    // Where it has room for its text, to be measured.
    style.left = style.top = '0';
    this._node.textContent = text;
    const { width, height } = this._node.getBoundingClientRect();
    const isBelow = at.bottom + height <= window.innerHeight;
    style.left = `${Math.max(0, Math.min(at.left, window.innerWidth - width))}px`;
    style.top = `${isBelow ? at.bottom : at.top - height}px`;
    this._timer = window.setTimeout(this.hide, STAY);
    document.addEventListener('keydown', this.hide, { capture: true });
    document.addEventListener('scroll', this.hide, { capture: true });
  }

  readonly hide = (): void => {
    window.clearTimeout(this._timer);
    this._node.textContent = '';
    document.removeEventListener('keydown', this.hide, { capture: true });
    document.removeEventListener('scroll', this.hide, { capture: true });
  };

  private _node = document.createElement('div');
  private _timer = 0;
}
