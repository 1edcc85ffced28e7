import type { CodeEditor } from '@jupyterlab/codeeditor';
import type {
  CompletionHandler,
  IInlineCompleterFactory,
  IInlineCompletionItem,
  InlineCompleter
} from '@jupyterlab/completer';
import { type ISignal, Signal } from '@lumino/signaling';

import type { IPlace } from '../document/types';
import { placeIn } from '../document/context';
import { beginning, type Part } from './parts';

/** Where ghost text comes from: knows what is left of it at a place, null where it has no business. */
export interface ISuggestion {
  rest(place: IPlace): string | null;
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
 * The ghost texts on the screen. JupyterLab leaves some behind that no longer fit
 * the text: accepting one would overwrite code, and one without text would swallow
 * the Tab key. Those are ended here.
 */
export class Ghosts {
  constructor(factory: IInlineCompleterFactory | null) {
    if (factory) {
      this._watch(factory);
    }
  }

  /** Emits the text of each of our suggestions when it is first on the screen; more may stream in. */
  get shown(): ISignal<this, string> {
    return this._shown;
  }

  /** Emits what the user accepted of our suggestions, by whatever command. */
  get accepted(): ISignal<this, IAccepted> {
    return this._accepted;
  }

  /** Ends the ghost in an editor unless it fits the text there. */
  tidy(editor: CodeEditor.IEditor | null): void {
    for (const completer of this._of(editor)) {
      tidy(completer);
    }
  }

  /** Puts the beginning of the ghost in an editor into the text; the rest stays. */
  accept(editor: CodeEditor.IEditor | null, part: Part): void {
    this.tidy(editor);
    const completer = this._of(editor).find(fits);
    if (editor && completer?.current) {
      const isOurs = ours(completer) !== null;
      const text = beginning(completer.current.insertText, part);
      undoneAlone(editor, () => insert(editor, text));
      if (isOurs) {
        this._accepted.emit({ text, part });
      }
    }
  }

  /** Ends the ghost in an editor. */
  dismiss(editor: CodeEditor.IEditor | null): void {
    for (const completer of this._of(editor)) {
      completer.model?.reset();
    }
  }

  private _of(editor: CodeEditor.IEditor | null): InlineCompleter[] {
    return editor
      ? [...this._completers].filter(completer => completer.editor === editor)
      : [];
  }

  private _watch(factory: IInlineCompleterFactory): void {
    const make = factory.factory.bind(factory);
    factory.factory = options => {
      const completer = make(options);
      this._completers.add(completer);
      completer.disposed.connect(() => this._completers.delete(completer));
      if (completer.model) {
        tidyOnChange(completer, completer.model);
        appendToNothing(completer.model);
        completer.model.suggestionsChanged.connect(() => this._look(completer));
      }
      this._tellAccepted(completer);
      this._askAtLast(completer);
      return completer;
    };
  }

  /** JupyterLab's own command for accepting, and its button, are told of and undone like ours. */
  private _tellAccepted(completer: InlineCompleter): void {
    const accept = completer.accept.bind(completer);
    completer.accept = () => {
      tidy(completer);
      if (!fits(completer)) {
        return;
      }
      // The ghost gets shorter as its text goes in.
      const text = ours(completer)?.insertText;
      undoneAlone(completer.editor ?? null, accept);
      if (text) {
        this._accepted.emit({ text, part: 'whole' });
      }
    };
  }

  /** Going on from the last suggestion asks for others first. */
  private _askAtLast(completer: InlineCompleter): void {
    const cycle = completer.cycle.bind(completer);
    completer.cycle = direction => {
      const { current, model } = completer;
      const isLast = current === model?.completions?.items.at(-1);
      const asking =
        direction === 'next' && isLast ? this._append(completer) : null;
      void Promise.resolve(asking).then(() => {
        // Who left the editor meanwhile wants no ghost in it.
        if (completer.isActive && completer.current === current) {
          cycle(direction);
          this._look(completer);
        }
      });
    };
  }

  /** Asks for others than our last suggestion, once, and puts them after it. */
  private async _append(completer: InlineCompleter): Promise<void> {
    const { model } = completer;
    const last = ours(completer);
    if (!model || !last || this._extended.has(last.suggestion)) {
      return;
    }
    model.notifyProgress({ pendingProviders: 1, totalProviders: 1 });
    const others = await this.others();
    model.notifyProgress({ pendingProviders: 0, totalProviders: 1 });
    if (others.length > 0 && completer.isActive && completer.current === last) {
      others.forEach(({ suggestion }) => this._extended.add(suggestion));
      model.appendCompletions({ items: others.map(item => like(last, item)) });
    }
  }

  private _look(completer: InlineCompleter): void {
    const ghost = ours(completer);
    if (ghost?.insertText && !this._seen.has(ghost.suggestion)) {
      this._seen.add(ghost.suggestion);
      this._shown.emit(ghost.insertText);
    }
  }

  /** Gets other suggestions for where the cursor is. */
  others: () => Promise<IGhostItem[]> = () => Promise.resolve([]);

  private _accepted = new Signal<this, IAccepted>(this);
  private _completers = new Set<InlineCompleter>();
  private _extended = new WeakSet<object>();
  private _seen = new WeakSet<object>();
  private _shown = new Signal<this, string>(this);
}

type Item = CompletionHandler.IInlineItem;
/** As JupyterLab keeps it. */
type IOurItem = Item & IGhostItem;

/** What JupyterLab makes of an item that comes from where `first` does. */
function like({ provider }: Item, item: IGhostItem): Item {
  const all = { ...item, provider, streaming: false };
  // Nothing more will come.
  return { ...all, stream: new Signal(all as unknown as Item) };
}

/** The ghost that the completer shows, if it is ours. */
function ours({ current }: InlineCompleter): IOurItem | null {
  return current && 'suggestion' in current ? (current as IOurItem) : null;
}

/** Undo takes back what `change` does, and nothing else with it. */
function undoneAlone(
  editor: CodeEditor.IEditor | null,
  change: () => void
): void {
  const model = editor?.model.sharedModel as Partial<IUndoable> | undefined;
  model?.undoManager?.stopCapturing();
  change();
  model?.undoManager?.stopCapturing();
}

/** As if it was typed, but for brackets, which close only themselves. */
function insert(editor: CodeEditor.IEditor, text: string): void {
  const { editor: view } = editor as unknown as IViewed;
  // First: an editor without the focus isn't answered, and a button may have taken it.
  editor.focus();
  view.dispatch(view.state.replaceSelection(text), { scrollIntoView: true });
}

/** JupyterLab's shared models, of cells and of files: changes within half a second are undone as one. */
interface IUndoable {
  undoManager: { stopCapturing(): void } | null;
}

/** The part of CodeMirror's view, which an editor of JupyterLab has, that is used. */
interface IViewed {
  editor: {
    state: { replaceSelection(text: string): object };
    dispatch(...changes: object[]): void;
  };
}

/** Ends the completer's ghost when the cursor leaves it, or the text around it changes. */
function tidyOnChange(
  completer: InlineCompleter,
  model: InlineCompleter.IModel
): void {
  // When typing moved the cursor, the completer hears of the text after that.
  const tidySoon = () => setTimeout(() => tidy(completer), 0);
  const move = model.handleSelectionChange.bind(model);
  model.handleSelectionChange = range => {
    move(range);
    tidySoon();
  };
  const change = model.handleTextChange.bind(model);
  model.handleTextChange = text => {
    change(text);
    tidySoon();
  };
}

/** Shows a reply too that comes after another provider's failure, which left nothing to append to. */
function appendToNothing(model: InlineCompleter.IModel) {
  const append = model.appendCompletions.bind(model);
  model.appendCompletions = reply => {
    if (model.completions) {
      append(reply);
    } else {
      model.setCompletions(reply);
    }
  };
}

function tidy(completer: InlineCompleter): void {
  const { editor, model } = completer;
  if (editor && !editor.isDisposed && completer.isActive && !fits(completer)) {
    model?.reset();
  }
}

/**
 * Whether there is ghost text at the cursor and, if it is ours, it is what its
 * suggestion has left there: JupyterLab shortens it by all that goes into the
 * editor's text, also by what someone else writes elsewhere.
 */
function fits(completer: InlineCompleter): boolean {
  const { current, editor, model } = completer;
  if (
    !editor ||
    !model ||
    !current?.insertText ||
    !isAtCursor(editor, model.cursor)
  ) {
    return false;
  }
  const ghost = ours(completer);
  const place = placeIn(editor);
  const rest = place && ghost?.suggestion.rest(place);
  return !ghost || !!rest?.startsWith(ghost.insertText);
}

function isAtCursor(
  editor: CodeEditor.IEditor,
  { line, column }: CodeEditor.IPosition
): boolean {
  const cursor = editor.getCursorPosition();
  return cursor.line === line && cursor.column === column;
}
