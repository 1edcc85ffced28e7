import type { CodeEditor } from '@jupyterlab/codeeditor';
import { type Extension, StateEffect, StateField } from '@codemirror/state';
import {
  Decoration,
  type DecorationSet,
  EditorView,
  WidgetType
} from '@codemirror/view';

/** What stands from `start` to `end` is to become `text`. */
export interface IChange {
  start: number;
  end: number;
  text: string;
}

/**
 * Shows in an editor what changes would make of its text, with a `bar` below the last of them: what goes is
 * struck, what comes stands beside it. Nothing is changed. Returns what takes that away again, null where
 * the editor can't show it. `ended` is called once, also where a change of the text ends it.
 */
export function showDiff(
  editor: CodeEditor.IEditor,
  changes: readonly IChange[],
  bar: HTMLElement,
  ended: () => void
): (() => void) | null {
  const view = (editor as Partial<{ editor: EditorView }>).editor;
  if (!(view instanceof EditorView)) {
    return null;
  }
  if (view.state.field(shown, false) === undefined) {
    view.dispatch({
      effects: StateEffect.appendConfig.of([shown, end] as Extension)
    });
  }
  view.dispatch({
    effects: show.of({ decorations: decorations(view, changes, bar), ended })
  });
  return () => view.dispatch({ effects: show.of(null) });
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
  decorations: DecorationSet;
  ended: () => void;
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
    return transaction.docChanged ? null : value;
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
  if (before && update.state.field(shown, false) !== before) {
    before.ended();
  }
});

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
