import type { CodeEditor } from '@jupyterlab/codeeditor';
import {
  type Extension,
  StateEffect,
  StateField,
  type Transaction
} from '@codemirror/state';
import {
  Decoration,
  type DecorationSet,
  EditorView,
  WidgetType
} from '@codemirror/view';

import { isOthersChange } from './internals';

/** What stands from `start` to `end` is to become `text`. */
export interface IChange {
  start: number;
  end: number;
  text: string;
}

export interface IDiff {
  /** Where others' changes of the text have moved them. */
  readonly changes: readonly IChange[];
  end(): void;
}

/**
 * Shows in an editor what changes would make of its text, with a `bar` below the last of them: what goes is
 * struck, what comes stands beside it. Nothing is changed. Null where the editor can't show it. It ends, and
 * `ended` is called once, also where the user changes the text, or somebody the lines that it is about.
 */
export function showDiff(
  editor: CodeEditor.IEditor,
  changes: readonly IChange[],
  bar: HTMLElement,
  ended: () => void
): IDiff | null {
  const view = (editor as Partial<{ editor: EditorView }>).editor;
  if (!(view instanceof EditorView)) {
    return null;
  }
  if (view.state.field(shown, false) === undefined) {
    view.dispatch({
      effects: StateEffect.appendConfig.of([shown, end] as Extension)
    });
  }
  // The first time it begins to listen.
  isOthersChange(editor);
  const value: IShown = {
    changes,
    decorations: decorations(view, changes, bar),
    ended,
    isOthersChange: () => isOthersChange(editor)
  };
  view.dispatch({ effects: show.of(value) });
  return {
    get changes() {
      return view.state.field(shown)?.changes ?? changes;
    },
    end: () => view.dispatch({ effects: show.of(null) })
  };
}

/** Puts changes into an editor's text, as one that undo takes back. */
export function applyChanges(
  editor: CodeEditor.IEditor,
  changes: readonly IChange[]
): void {
  const view = (editor as Partial<{ editor: EditorView }>).editor;
  const last = changes[changes.length - 1];
  view?.dispatch({
    changes: changes.map(({ start: from, end: to, text: insert }) => ({
      from,
      to,
      insert
    })),
    scrollIntoView: true
  });
  const grown = changes.reduce(
    (n, c) => n + c.text.length - c.end + c.start,
    0
  );
  view?.dispatch({ selection: { anchor: last.end + grown } });
}

interface IShown {
  changes: readonly IChange[];
  decorations: DecorationSet;
  ended: () => void;
  isOthersChange: () => boolean;
}

const show = StateEffect.define<IShown | null>();

const shown = StateField.define<IShown | null>({
  create: () => null,
  update: (value, transaction) => {
    for (const effect of transaction.effects) {
      if (effect.is(show)) {
        return effect.value;
      }
    }
    return value && transaction.docChanged ? moved(value, transaction) : value;
  },
  provide: field =>
    EditorView.decorations.from(
      field,
      value => value?.decorations ?? Decoration.none
    )
});

/** Tells when it is there no more. */
const end = EditorView.updateListener.of(update => {
  const before = update.startState.field(shown, false);
  if (before && update.state.field(shown, false)?.ended !== before.ended) {
    before.ended();
  }
});

/** What is shown after a change of the text; null where that ends it. */
function moved(value: IShown, transaction: Transaction): IShown | null {
  const { changes: edit, startState } = transaction;
  const isTouched = value.changes.some(({ start, end }) =>
    edit.touchesRange(
      startState.doc.lineAt(start).from,
      startState.doc.lineAt(end).to
    )
  );
  if (isTouched || !value.isOthersChange()) {
    return null;
  }
  const changes = value.changes.map(change => ({
    ...change,
    start: edit.mapPos(change.start, 1),
    end: edit.mapPos(change.end, 1)
  }));
  return { ...value, changes, decorations: value.decorations.map(edit) };
}

function decorations(
  view: EditorView,
  changes: readonly IChange[],
  bar: HTMLElement
): DecorationSet {
  const found = changes.flatMap(({ start, end, text }) => [
    ...(start < end
      ? [Decoration.mark({ class: 'santa-Diff-removed' }).range(start, end)]
      : []),
    ...(text
      ? [
          Decoration.widget({ widget: new Node(added(text)), side: 1 }).range(
            end
          )
        ]
      : [])
  ]);
  const last = view.state.doc.lineAt(changes[changes.length - 1].end);
  const below = Decoration.widget({
    widget: new Node(bar),
    side: 2,
    block: true
  });
  return Decoration.set([...found, below.range(last.to)], true);
}

function added(text: string): HTMLElement {
  const node = document.createElement('ins');
  node.className = 'santa-Diff-added';
  node.textContent = text;
  return node;
}

class Node extends WidgetType {
  constructor(private readonly _node: HTMLElement) {
    super();
  }

  toDOM(): HTMLElement {
    return this._node;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}
