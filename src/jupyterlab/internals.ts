import type { CodeEditor } from '@jupyterlab/codeeditor';
import {
  type CompletionHandler,
  type IInlineCompleterFactory,
  type IInlineCompletionProvider,
  type InlineCompleter,
  InlineCompletionTriggerKind,
  ProviderReconciliator
} from '@jupyterlab/completer';
import { Text } from '@jupyterlab/coreutils';
import { type ISignal, Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { IAbove } from '../document/imports';

/**
 * All that is used of JupyterLab beyond what it promises, which any version may
 * change. Where something is missing or fails, that is lost with one line in the
 * console; JupyterLab's own completers go on.
 */

type Model = NonNullable<InlineCompleter['model']>;
export type TextChange = Parameters<Model['handleTextChange']>[0];
/** A suggestion as JupyterLab keeps it, whichever provider's. */
export type Item = CompletionHandler.IInlineItem;
type List = { items: Item[] };
export type Direction = 'next' | 'previous';
/** Gets what JupyterLab would do, to do it, or something else. */
type Around<A extends unknown[]> = (run: () => void, ...args: A) => void;

/** JupyterLab's inline completers, one for each document. */
export class Completers {
  constructor(factory: IInlineCompleterFactory | null) {
    if (factory) {
      attempt('IInlineCompleterFactory.factory', () => this._watch(factory));
    }
  }

  /** Emits each completer when JupyterLab makes it. */
  get made(): ISignal<this, Completer> {
    return this._made;
  }

  /** Those that show in an editor what there is to suggest. */
  of(editor: CodeEditor.IEditor | null): Completer[] {
    return editor
      ? [...this._all].filter(completer => completer.editor === editor)
      : [];
  }

  /** All of them. */
  get all(): Completer[] {
    return [...this._all];
  }

  private _watch(factory: IInlineCompleterFactory): void {
    const make = factory.factory.bind(factory);
    factory.factory = options => {
      const made = make(options);
      attempt('InlineCompleter', () => this._add(made));
      return made;
    };
  }

  private _add(made: InlineCompleter): void {
    const completer = new Completer(made);
    this._all.add(completer);
    attempt('InlineCompleter.disposed', () =>
      made.disposed.connect(() => this._all.delete(completer))
    );
    this._made.emit(completer);
  }

  private _all = new Set<Completer>();
  private _made = new Signal<this, Completer>(this);
}

/** One of JupyterLab's inline completers. */
export class Completer {
  constructor(private readonly _completer: InlineCompleter) {
    wrap<[]>(_completer, 'InlineCompleter.accept', run => this.accepting(run));
    wrap<[Direction]>(_completer, 'InlineCompleter.cycle', (run, direction) =>
      this.cycling(run, direction)
    );
    const { model } = _completer;
    if (!model) {
      return;
    }
    wrap<[TextChange]>(model, `${MODEL}.handleTextChange`, (run, change) => {
      if (!isOthersChange(this.editor)) {
        run();
        this._textChanged.emit(change);
        return;
      }
      if (!this.keeping()) {
        run();
      }
      this._othersChanged.emit(change);
    });
    wrap<[object]>(model, `${MODEL}.handleSelectionChange`, run => {
      if (!(isOthersChange(this.editor) && this.keeping())) {
        run();
        this._cursorMoved.emit();
      }
    });
    // Another provider's failure leaves nothing to append to.
    wrap<[List]>(model, `${MODEL}.appendCompletions`, (run, reply) =>
      model.completions ? run() : model.setCompletions(reply)
    );
    attempt(`${MODEL}.suggestionsChanged`, () =>
      model.suggestionsChanged.connect(() => this._itemsChanged.emit())
    );
  }

  /** What accepting does, by JupyterLab's command or its button. */
  accepting: Around<[]> = run => run();
  /** What going to another suggestion does. */
  cycling: Around<[Direction]> = run => run();

  /**
   * Someone or something else than the user changes the text: whether to keep from
   * JupyterLab that it did, which would take it for typed.
   */
  keeping: () => boolean = () => false;

  /** Emits when JupyterLab has taken in how the user changed the editor's text. */
  get textChanged(): ISignal<this, TextChange> {
    return this._textChanged;
  }

  /** Emits how someone or something else changed the editor's text, which the editor may have to take in yet. */
  get othersChanged(): ISignal<this, TextChange> {
    return this._othersChanged;
  }

  /** Emits when JupyterLab has taken in where the cursor went. */
  get cursorMoved(): ISignal<this, void> {
    return this._cursorMoved;
  }

  /** Emits when there are other suggestions, or none any more. */
  get itemsChanged(): ISignal<this, void> {
    return this._itemsChanged;
  }

  get editor(): CodeEditor.IEditor | null {
    const editor = attempt(
      'InlineCompleter.editor',
      () => this._completer.editor
    );
    return editor && !editor.isDisposed ? editor : null;
  }

  /** Whether there is ghost text on the screen, or the Tab key taken for one. */
  get isActive(): boolean {
    return (
      attempt('InlineCompleter.isActive', () => this._completer.isActive) ??
      false
    );
  }

  /** The suggestion that is shown. */
  get current(): Item | null {
    return (
      attempt('InlineCompleter.current', () => this._completer.current) ?? null
    );
  }

  get items(): readonly Item[] {
    const { model } = this._completer;
    return (
      attempt(`${MODEL}.completions`, () => model?.completions?.items) ?? []
    );
  }

  /** Whether what is shown belongs where the cursor is. */
  get isAtCursor(): boolean {
    const { editor } = this;
    const origin = this._completer.model?.cursor;
    const cursor = editor?.getCursorPosition();
    return (
      !!origin &&
      !!cursor &&
      cursor.line === origin.line &&
      cursor.column === origin.column
    );
  }

  /**
   * Asks one provider alone, as JupyterLab asks all of them, and shows what it says,
   * which has to be for where the cursor is by then.
   */
  async ask(
    provider: IInlineCompletionProvider,
    widget: Widget,
    trigger: InlineCompletionTriggerKind
  ): Promise<void> {
    const { editor } = this;
    const { model } = this._completer;
    if (!editor || !model) {
      return;
    }
    const text = editor.model.sharedModel.getSource();
    const offset = editor.getOffsetAt(editor.getCursorPosition());
    const request = {
      text,
      offset: Text.jsIndexToCharIndex(offset, text),
      mimeType: editor.model.mimeType
    };
    const answer = attempt('ProviderReconciliator', () =>
      reconciliatorFor(provider, widget, editor).fetchInline(request, trigger)
    );
    const list = await answer?.[0];
    if (!list?.items?.length || this.editor !== editor || !editor.hasFocus()) {
      return;
    }
    attempt(`${MODEL}.setCompletions`, () => {
      const isThere = this.items.some(
        item => item.provider?.identifier === provider.identifier
      );
      if (isThere && this.isActive) {
        return;
      }
      if (this.items.length > 0 && !isThere) {
        // Another provider was there first.
        model.appendCompletions(list);
      } else {
        model.cursor = editor.getCursorPosition();
        model.setCompletions(list);
      }
    });
  }

  /** Marks the editor while the suggestion that is shown there is ours, for key bindings and styles; says what comes with it. */
  mark(isOurs: boolean, imports: readonly string[]): void {
    const host = this.editor?.host;
    const text = imports.length > 0 ? `⊕ ${imports.join('; ')}` : '';
    const note = text && JSON.stringify(text);
    host?.classList.toggle(OURS, isOurs);
    // At each key: what is set anew has the browser style all of the editor again.
    if (host && host.style.getPropertyValue(IMPORTS) !== note) {
      host.style.setProperty(IMPORTS, note);
    }
  }

  /** Takes all suggestions away. */
  reset(): void {
    attempt(`${MODEL}.reset`, () => this._completer.model?.reset());
  }

  /** Shows suggestions where the cursor is now. */
  show(items: readonly Item[]): void {
    const { editor } = this;
    const { model } = this._completer;
    attempt(`${MODEL}.setCompletions`, () => {
      if (editor && model) {
        model.cursor = editor.getCursorPosition();
        model.setCompletions({ items: [...items] });
      }
    });
  }

  /** Adds suggestions behind those that there are. */
  append(items: Item[]): void {
    attempt(`${MODEL}.appendCompletions`, () =>
      this._completer.model?.appendCompletions({ items })
    );
  }

  /** Shows in the completer's box that more is on its way, or no more. */
  showProgress(isPending: boolean): void {
    attempt(`${MODEL}.notifyProgress`, () =>
      this._completer.model?.notifyProgress({
        pendingProviders: isPending ? 1 : 0,
        totalProviders: 1
      })
    );
  }

  /** Puts a button beside JupyterLab's own in the completer's box. */
  addButton(name: string, button: Widget): void {
    attempt('InlineCompleter.toolbar', () =>
      this._completer.toolbar.addItem(name, button)
    );
  }

  private _cursorMoved = new Signal<this, void>(this);
  private _itemsChanged = new Signal<this, void>(this);
  private _othersChanged = new Signal<this, TextChange>(this);
  private _textChanged = new Signal<this, TextChange>(this);
}

/** JupyterLab's own way to ask providers and to follow their streams, for one of them. */
function reconciliatorFor(
  provider: IInlineCompletionProvider,
  widget: Widget,
  editor: CodeEditor.IEditor
): ProviderReconciliator {
  const settings = provider.schema?.default ?? {};
  return new ProviderReconciliator({
    context: { widget, editor },
    providers: [],
    inlineProviders: [provider],
    inlineProvidersSettings: {
      [provider.identifier]: settings as never
    },
    timeout: 0
  });
}

/**
 * Whether the change of the text that JupyterLab tells of right now was made by
 * someone or something else than who types in an editor of this page.
 */
export function isOthersChange(editor: CodeEditor.IEditor | null): boolean {
  const shared = editor?.model.sharedModel as Partial<IShared> | undefined;
  const text = shared?.ysource;
  if (!text?.doc) {
    return false;
  }
  const { doc } = text;
  let changed = changedByOthers.get(doc);
  if (!changed) {
    const texts = (changed = new Set<object>());
    changedByOthers.set(doc, texts);
    attempt('sharedModel.ysource.doc', () =>
      doc.on('beforeObserverCalls', transaction => {
        // JupyterLab may tell of a change after others that follow from it, such as that of the document's state.
        for (const type of transaction.changed.keys()) {
          if (isByOthers(transaction)) {
            texts.add(type);
          } else {
            texts.delete(type);
          }
        }
        window.setTimeout(() => texts.clear(), 0);
      })
    );
  }
  return changed.has(text);
}

function isByOthers({ origin }: ITransaction): boolean {
  // JupyterLab's binding of an editor to the text is the origin of what is typed there.
  const { ytext, undoStack } = (origin ?? {}) as Partial<IOrigin>;
  return !ytext && !undoStack;
}

/** What JupyterLab's shared texts have of Yjs. */
interface IShared {
  ysource: { doc: IDoc | null };
}

/** A binding's text, or what an undo manager has. */
interface IOrigin {
  ytext: object;
  undoStack: object;
}

interface ITransaction {
  origin: unknown;
  /** By what changed: a text, a cell, a document's state. */
  changed: Map<object, unknown>;
}

interface IDoc {
  on(
    event: 'beforeObserverCalls',
    listener: (transaction: ITransaction) => void
  ): void;
}

/** The texts of each document that others are changing. */
const changedByOthers = new WeakMap<IDoc, Set<object>>();

/**
 * Whether an input method is in the middle of a word. Android's keyboards write each
 * word by one, so there that is how the user types.
 */
export function isComposing(editor: CodeEditor.IEditor | null): boolean {
  return (
    viewOf(editor)?.composing === true && !/Android/.test(navigator.userAgent)
  );
}

/** Whether the keys are commands of jupyterlab-vim: the user doesn't write then. */
export function isCommanding(editor: CodeEditor.IEditor | null): boolean {
  const vim = viewOf(editor)?.cm?.state?.vim;
  return !!vim && !vim.insertMode;
}

/** Whether jupyterlab-vim is at work in an editor: Escape is its key then. */
export function hasVim(editor: CodeEditor.IEditor | null): boolean {
  return !!viewOf(editor)?.cm?.state?.vim;
}

/** Tells of each change between writing and commands of jupyterlab-vim in an editor; asked again, still once. */
export function watchModes(
  editor: CodeEditor.IEditor,
  changed: () => void
): void {
  const cm = viewOf(editor)?.cm;
  if (cm && !watchedModes.has(cm)) {
    watchedModes.add(cm);
    attempt('vim-mode-change', () => cm.on?.('vim-mode-change', changed));
  }
}

const watchedModes = new WeakSet<object>();

/** Puts text in at the cursor as if it was typed, but for brackets, which close only themselves; and something above. */
export function insertText(
  editor: CodeEditor.IEditor,
  text: string,
  above: IAbove | null = null
): void {
  const view = viewOf(editor);
  // First: an editor without the focus isn't answered, and a button may have taken it.
  editor.focus();
  attempt('CodeMirrorEditor.editor', () =>
    view?.dispatch(
      // The first goes before what comes to the same place.
      ...(above ? [{ changes: { from: above.at, insert: above.text } }] : []),
      view.state.replaceSelection(text),
      { scrollIntoView: true }
    )
  );
}

/** Undo takes back what `change` does, and nothing else with it. */
export function undoneAlone(
  editor: CodeEditor.IEditor | null,
  change: () => void
): void {
  const stop = () => {
    const model = editor?.model.sharedModel as Partial<IUndoable> | undefined;
    attempt('sharedModel.undoManager', () =>
      model?.undoManager?.stopCapturing()
    );
  };
  stop();
  change();
  stop();
}

const MODEL = 'InlineCompleter.model';
/** Beside JupyterLab's `jp-mod-inline-completer-active`, which is there for each provider's. */
const OURS = 'santa-mod-suggesting';
/** What `style/base.css` shows behind the ghost. */
const IMPORTS = '--santa-imports';

/** The part of CodeMirror's view, which an editor of JupyterLab has, that is used. */
interface IView {
  composing?: boolean;
  /** What jupyterlab-vim adds. */
  cm?: {
    state?: { vim?: { insertMode?: boolean } | null };
    on?(event: string, listener: () => void): void;
  };
  state: { replaceSelection(text: string): object };
  dispatch(...changes: object[]): void;
}

/** JupyterLab's shared models, of cells and of files: changes within half a second are undone as one. */
interface IUndoable {
  undoManager: { stopCapturing(): void } | null;
}

function viewOf(editor: CodeEditor.IEditor | null): IView | null {
  return (editor as { editor?: IView } | null)?.editor ?? null;
}

/** Has a method do what `around` makes of it; where there is no such method, or `around` fails, nothing changes. */
function wrap<A extends unknown[]>(
  owner: object,
  path: string,
  around: Around<A>
): void {
  const name = path.slice(path.lastIndexOf('.') + 1);
  const methods = owner as Record<string, ((...args: A) => void) | undefined>;
  const original = methods[name];
  if (typeof original !== 'function') {
    lose(path, 'there is none');
    return;
  }
  methods[name] = (...args) => {
    let hasRun = false;
    const run = () => {
      hasRun = true;
      original.apply(owner, args);
    };
    try {
      around(run, ...args);
    } catch (error) {
      lose(path, error);
      if (!hasRun) {
        run();
      }
    }
  };
}

/** What `use` gives; undefined where JupyterLab isn't what it was. */
function attempt<T>(feature: string, use: () => T): T | undefined {
  try {
    return use();
  } catch (error) {
    lose(feature, error);
    return undefined;
  }
}

function lose(feature: string, reason: unknown): void {
  if (!lost.has(feature)) {
    lost.add(feature);
    console.warn(`santajupyter can't use JupyterLab's ${feature}:`, reason);
  }
}

/** What was found to be of no use. */
const lost = new Set<string>();
