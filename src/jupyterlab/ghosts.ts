import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { IInlineCompletionItem } from '@jupyterlab/completer';
import { type ISignal, Signal } from '@lumino/signaling';

import { placeIn } from '../document/context';
import {
  type IAbove,
  importsAbove,
  lacking,
  withAbove
} from '../document/imports';
import type { IPlace } from '../document/types';
import type { ICompletionRequest } from '../server/protocol';
import {
  type Completer,
  type Completers,
  type Direction,
  insertText,
  isCommanding,
  type Item,
  undoneAlone,
  watchModes
} from './internals';
import { beginning, type Part } from './parts';
import { isPopupOpen, watchPopup } from './popup';
import { type IGone, Screen } from './screen';

/** What JupyterLab knows our provider by. */
export const PROVIDER_ID = 'santajupyter:inline';

/** How a suggestion was asked for. */
export interface IAsked extends Pick<
  ICompletionRequest,
  'trigger' | 'mode' | 'language'
> {
  /** When, by `performance.now()`. */
  at: number;
}

/** Where ghost text comes from: knows what is left of it at a place, null where it has no business. */
export interface ISuggestion {
  /** Null where nobody needs to know. */
  readonly asked: IAsked | null;
  /** Statements that have to run before its text. */
  readonly imports: readonly string[];
  rest(place: IPlace): string | null;
  /** Goes along to a place that someone else's change has moved; false where it can't. */
  follow(place: IPlace): boolean;
  /** Goes along to a place that an import above leads to, and back with undo. */
  goTo(place: IPlace): void;
}

/** What goes to JupyterLab; `suggestion` stays the same while the user types through it. */
export interface IGhostItem extends IInlineCompletionItem {
  suggestion: ISuggestion;
}

/** Text that went into the document out of one of our ghosts. */
export interface IAccepted {
  text: string;
  part: Part;
}

/**
 * Our ghost texts on the screen. JupyterLab leaves some behind that no longer fit
 * the text: accepting one would overwrite code, and one without text would swallow
 * the Tab key. Those are ended here; what other providers show is theirs.
 */
export class Ghosts {
  constructor(private readonly _completers: Completers) {
    _completers.made.connect((_, completer) => this._watch(completer));
  }

  /** Emits each of our suggestions when it is first on the screen; more text may stream in. */
  get shown(): ISignal<this, IGhostItem> {
    return this._shown;
  }

  /** Emits an editor in which there was something to show behind JupyterLab's list of completions, when it is closed. */
  get uncovered(): ISignal<this, CodeEditor.IEditor> {
    return this._uncovered;
  }

  /** Emits what the user accepted of our suggestions, by whatever command. */
  get accepted(): ISignal<this, IAccepted> {
    return this._accepted;
  }

  /** Emits when none of ours is shown in an editor, for whatever reason. */
  get ended(): ISignal<this, void> {
    return this._ended;
  }

  /** Emits a suggestion that is on the screen no more, with the text that there was last; "" if all of it was typed. */
  get gone(): ISignal<unknown, IGone<IGhostItem>> {
    return this._screen.gone;
  }

  /** Ends our ghost in an editor unless it fits the text there. */
  tidy(editor: CodeEditor.IEditor | null): void {
    this._completers.of(editor).forEach(tidy);
  }

  /** Puts the beginning of the ghost in an editor into the text; the rest stays. */
  accept(editor: CodeEditor.IEditor | null, part: Part): void {
    this.tidy(editor);
    const completer = this._completers.of(editor).find(fits);
    if (editor && completer?.current) {
      const ghost = ours(completer);
      const text = beginning(completer.current.insertText, part);
      const above = ghost && aboveOf(ghost, editor, text);
      undoneAlone(editor, () => insertText(editor, text, above));
      if (ghost) {
        this._accepted.emit({ text, part });
      }
    }
  }

  /** The text of the ghost in an editor, whoever's it is; "" where there is none. */
  text(editor: CodeEditor.IEditor | null): string {
    return this._completers.of(editor).find(fits)?.current?.insertText ?? '';
  }

  /** The import statements that come with it. */
  imports(editor: CodeEditor.IEditor | null): readonly string[] {
    return importsOf(this.in(editor), editor);
  }

  /** Our ghost in an editor, null where there is none. */
  in(editor: CodeEditor.IEditor | null): IGhostItem | null {
    const completer = this._completers.of(editor).find(fits);
    return completer ? ours(completer) : null;
  }

  /**
   * Whether a suggestion must wait: JupyterLab's list of completions, which may say
   * something else, is open in the editor. `uncovered` tells when it is closed.
   */
  isCovered(editor: CodeEditor.IEditor): boolean {
    if (!this._watched.has(editor)) {
      this._watched.add(editor);
      watchPopup(editor, isOpen => this._cover(editor, isOpen));
    }
    const isCovered = isPopupOpen(editor);
    if (isCovered) {
      this._covered.add(editor);
    }
    return isCovered;
  }

  /** Ends the ghost in an editor, whoever's it is. */
  dismiss(editor: CodeEditor.IEditor | null): void {
    this._completers.of(editor).forEach(completer => completer.reset());
  }

  /** Ends our ghost in an editor, or in all. */
  end(editor?: CodeEditor.IEditor | null): void {
    const completers =
      editor === undefined ? this._completers.all : this._completers.of(editor);
    completers
      .filter(completer => ours(completer))
      .forEach(completer => completer.reset());
  }

  private _cover(editor: CodeEditor.IEditor, isOpen: boolean): void {
    const isShown = this._completers.of(editor).some(ours);
    if (isOpen && isShown) {
      this._covered.add(editor);
      this.end(editor);
    } else if (!isOpen && this._covered.delete(editor)) {
      this._uncovered.emit(editor);
    }
  }

  private _watch(completer: Completer): void {
    // When typing moved the cursor, the completer hears of the text after that. Most keys find nothing shown.
    const tidySoon = () => {
      if (completer.isActive) {
        setTimeout(() => {
          tidy(completer);
          this._see(completer);
        }, 0);
      }
    };
    const forget = () => this._hidden.delete(completer);
    completer.cursorMoved.connect(forget);
    completer.textChanged.connect(forget);
    completer.cursorMoved.connect(tidySoon);
    completer.textChanged.connect(tidySoon);
    completer.textChanged.connect(() => completer.isActive && mark(completer));
    completer.itemsChanged.connect(() => this._look(completer));
    completer.keeping = () => ours(completer) !== null;
    // The editor takes the change in before this.
    completer.othersChanged.connect(() =>
      queueMicrotask(() => this._follow(completer))
    );
    completer.accepting = accept => this._accept(completer, accept);
    completer.cycling = (cycle, direction) =>
      this._cycle(completer, cycle, direction);
  }

  /** JupyterLab's own command for accepting, and its button, are told of and undone like ours. */
  private _accept(completer: Completer, accept: () => void): void {
    if (!ours(completer)) {
      accept();
      return;
    }
    tidy(completer);
    if (!fits(completer)) {
      return;
    }
    // The ghost gets shorter as its text goes in.
    const ghost = ours(completer);
    const { editor } = completer;
    const text = ghost?.insertText;
    const above = text && editor ? aboveOf(ghost, editor, text) : null;
    undoneAlone(editor, () => {
      if (editor && text && above) {
        insertText(editor, text, above);
        completer.reset();
      } else {
        accept();
      }
    });
    if (text) {
      this._accepted.emit({ text, part: 'whole' });
    }
  }

  /**
   * Keeps our ghost at the cursor where someone else changed other lines. Where they
   * changed this one it is gone until the line is what it was.
   */
  private _follow(completer: Completer): void {
    const { current, editor } = completer;
    const items = current ? completer.items : this._hidden.get(completer);
    if (!items || !editor?.hasFocus() || (current && !isOurs(current))) {
      tidy(completer);
      return;
    }
    const place = placeIn(editor);
    const follows = items
      .filter(isOurs)
      .map(({ suggestion }) => place !== null && suggestion.follow(place));
    if (follows[0]) {
      completer.show(items);
    } else {
      this._hidden.set(completer, items);
    }
    tidy(completer);
  }

  /** Going on from the last suggestion asks for others first. */
  private _cycle(
    completer: Completer,
    cycle: () => void,
    direction: Direction
  ): void {
    const { current, items } = completer;
    const steps = this._steps.get(completer);
    if (
      direction === 'next' &&
      current === items.at(-1) &&
      ours(completer) !== null
    ) {
      this._steps.set(completer, (steps ?? 0) + 1);
      if (steps === undefined) {
        void this._goOn(completer, cycle);
      }
      return;
    }
    if (steps !== undefined) {
      // Who goes elsewhere doesn't wait for others any more; they are still put in their place.
      this._steps.set(completer, 0);
    }
    cycle();
    this._look(completer);
  }

  /** Gets others, and then goes on as often as the user wanted to meanwhile. */
  private async _goOn(completer: Completer, cycle: () => void): Promise<void> {
    const { current } = completer;
    await this._append(completer);
    const steps = this._steps.get(completer) ?? 0;
    this._steps.delete(completer);
    // Who left the editor meanwhile wants no ghost in it.
    if (completer.isActive && completer.current === current) {
      for (let step = 0; step < steps; step++) {
        cycle();
      }
      this._look(completer);
    }
  }

  /** Asks for others than our last suggestion, once, and puts them after it. */
  private async _append(completer: Completer): Promise<void> {
    const last = ours(completer);
    if (!last || this._extended.has(last.suggestion)) {
      return;
    }
    completer.showProgress(true);
    const others = await this.others().catch(() => []);
    completer.showProgress(false);
    if (
      others.length > 0 &&
      completer.isActive &&
      completer.items.includes(last)
    ) {
      others.forEach(({ suggestion }) => this._extended.add(suggestion));
      completer.append(others.map(item => like(last, item)));
    }
  }

  private _look(completer: Completer): void {
    mark(completer);
    const { editor } = completer;
    const ghost = ours(completer);
    if (!ghost) {
      this._ended.emit();
    }
    const seen = this._see(completer);
    if (!editor || !seen) {
      return;
    }
    watchModes(editor, () => tidy(completer));
    if (!this._seen.has(seen.suggestion)) {
      this._seen.add(seen.suggestion);
      // What comes with it is known with the end of its text.
      seen.stream?.connect(() => mark(completer));
      this._shown.emit(seen);
    }
  }

  /** The ghost of ours that has text, if there is one; who tells what is on the screen hears of it. */
  private _see(completer: Completer): IOurItem | null {
    const ghost = ours(completer);
    const seen = ghost?.insertText ? ghost : null;
    this._screen.see(completer, seen);
    return seen;
  }

  /** Gets other suggestions for where the cursor is. */
  others: () => Promise<IGhostItem[]> = () => Promise.resolve([]);

  private _accepted = new Signal<this, IAccepted>(this);
  private _covered = new WeakSet<CodeEditor.IEditor>();
  private _ended = new Signal<this, void>(this);
  private _extended = new WeakSet<object>();
  /** What others' changes of its line have taken away, until the user does something. */
  private _hidden = new WeakMap<Completer, readonly Item[]>();
  private _screen = new Screen<IGhostItem>();
  private _seen = new WeakSet<object>();
  /** How often the user went on past the last suggestion, where others are being asked for. */
  private _steps = new WeakMap<Completer, number>();
  private _shown = new Signal<this, IGhostItem>(this);
  private _uncovered = new Signal<this, CodeEditor.IEditor>(this);
  private _watched = new WeakSet<CodeEditor.IEditor>();
}

/** As JupyterLab keeps it. */
type IOurItem = Item & IGhostItem;

/** What JupyterLab makes of an item that comes from where `first` does. */
function like({ provider }: Item, item: IGhostItem): Item {
  const all = { ...item, provider, streaming: false };
  // Nothing more will come.
  return { ...all, stream: new Signal(all as unknown as Item) };
}

/** The ghost that the completer shows, if it is ours. */
function ours({ current }: Completer): IOurItem | null {
  return current && isOurs(current) ? current : null;
}

function isOurs(item: Item): item is IOurItem {
  return item.provider?.identifier === PROVIDER_ID;
}

/** Tells key bindings and styles whose the ghost is, and what comes with it. */
function mark(completer: Completer): void {
  const ghost = ours(completer);
  completer.mark(ghost !== null, importsOf(ghost, completer.editor));
}

/** The imports that come with a ghost of ours. */
function importsOf(
  ghost: IGhostItem | null,
  editor: CodeEditor.IEditor | null
): readonly string[] {
  const place = ghost?.suggestion.imports.length && editor && placeIn(editor);
  return ghost && place ? lacking(place.prefix, ghost.suggestion.imports) : [];
}

/** What goes in above with a text of the ghost, which goes along. */
function aboveOf(
  { suggestion }: IOurItem,
  editor: CodeEditor.IEditor,
  text: string
): IAbove | null {
  const place = suggestion.imports.length > 0 ? placeIn(editor) : null;
  const above = place && importsAbove(place.prefix, text, suggestion.imports);
  if (place && above) {
    suggestion.goTo({ ...place, prefix: withAbove(place.prefix, above) });
  }
  return above;
}

function tidy(completer: Completer): void {
  const isOurs = !completer.current || ours(completer) !== null;
  if (completer.editor && completer.isActive && isOurs && !fits(completer)) {
    completer.reset();
  }
}

/**
 * Whether there is ghost text at the cursor and, if it is ours, it is what its
 * suggestion has left there: JupyterLab shortens it by all that goes into the
 * editor's text, also by what someone else writes elsewhere.
 */
function fits(completer: Completer): boolean {
  const { current, editor } = completer;
  if (!editor || !current?.insertText || !completer.isAtCursor) {
    return false;
  }
  const ghost = ours(completer);
  if (!ghost) {
    return true;
  }
  if (editor.getOption('readOnly') === true) {
    return false;
  }
  const place = placeIn(editor);
  const rest = place && ghost.suggestion.rest(place);
  return !isCommanding(editor) && !!rest?.startsWith(ghost.insertText);
}
