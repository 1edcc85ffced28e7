import type { TranslationBundle } from '@jupyterlab/translation';

/** Milliseconds that a suggestion must stand before it is announced: not one each key. */
const PAUSE = 700;

/** Tells screen readers of suggestions, politely: the line, and how many more there are. */
export class Announcer {
  constructor(
    private readonly _trans: TranslationBundle,
    /** What is shown now, "" if nothing is. */
    private readonly _shown: () => string,
    private readonly _isWanted: () => boolean,
    /** The imports that come with that. */
    private readonly _imports: () => readonly string[] = () => []
  ) {
    this.node.className = 'santa-Announcer';
    this.node.role = 'status';
    this.node.ariaLive = 'polite';
  }

  readonly node = document.createElement('div');

  /** A suggestion is on the screen, or what there was of it has changed. */
  announce(): void {
    window.clearTimeout(this._timer);
    this.node.textContent = '';
    if (this._isWanted()) {
      this._timer = window.setTimeout(() => {
        this.node.textContent = spoken(
          this._shown(),
          this._trans,
          this._imports()
        );
      }, PAUSE);
    }
  }

  private _timer = 0;
}

/** What is said of a suggestion. */
export function spoken(
  text: string,
  trans: TranslationBundle,
  imports: readonly string[] = []
): string {
  const said = spokenLines(text, trans);
  return said && imports.length > 0
    ? trans.__('%1, and with it %2', said, imports.join(', '))
    : said;
}

function spokenLines(text: string, trans: TranslationBundle): string {
  const lines = text.trim().split('\n');
  if (lines[0] === '') {
    return '';
  }
  const first = trans.__('Suggestion: %1', lines[0]);
  const more = lines.length - 1;
  return more === 0
    ? first
    : trans._n('%2, and %1 more line', '%2, and %1 more lines', more, first);
}
