import type { IInlineCompletionItem } from '@jupyterlab/completer';
import { UUID } from '@lumino/coreutils';

import { activeEditor, currentPlace } from '../document/context';
import type { Ghosts, IGhostItem } from '../jupyterlab/ghosts';
import { isCommanding } from '../jupyterlab/internals';
import type { Reply } from './reply';
import { Superseded, type Turn } from './turn';
import { essence } from './variants';

/** Hands replies to JupyterLab while they still grow: the first text as an item, the rest as a stream. */
export class Delivery {
  constructor(private readonly _ghosts: Pick<Ghosts, 'end'>) {}

  /** What the first of the replies that says something says, as soon as it does, then what others say. */
  async items(replies: Reply[], turn: Turn): Promise<IGhostItem[]> {
    for (const reply of replies) {
      const rest = await begun(reply, turn);
      if (rest) {
        const first = this._item(rest, reply, turn);
        const items = new Map([[essence(rest), first]]);
        for (const other of replies.filter(({ isDone }) => isDone)) {
          const insertText = restOf(other, turn);
          if (insertText && !items.has(essence(insertText))) {
            const item = { insertText, suggestion: other };
            items.set(essence(insertText), item);
          }
        }
        return [...items.values()];
      }
    }
    return [];
  }

  /** The whole text to show, each time more of it is there. */
  async *stream(token: string): AsyncGenerator<IInlineCompletionItem> {
    const streamed = this._streams.get(token);
    this._streams.delete(token);
    if (!streamed) {
      return;
    }
    const { reply, turn } = streamed;
    for (;;) {
      const { version } = reply;
      const isIncomplete = !reply.isDone;
      const insertText = restOf(reply, turn);
      if (insertText) {
        yield { insertText, isIncomplete };
      } else if (insertText === null || !isIncomplete) {
        break;
      }
      if (!isIncomplete) {
        return;
      }
      await reply.changed(version);
    }
    if (!turn.isOver) {
      // What is shown isn't what the reply came to in the end.
      this._ghosts.end(activeEditor(turn.widget));
    }
  }

  private _item(insertText: string, reply: Reply, turn: Turn): IGhostItem {
    const item = { insertText, suggestion: reply };
    if (reply.isDone) {
      return item;
    }
    const token = UUID.uuid4();
    this._streams.clear();
    this._streams.set(token, { reply, turn });
    return { ...item, isIncomplete: true, token };
  }

  private readonly _streams = new Map<string, { reply: Reply; turn: Turn }>();
}

/** What there is to show of a reply as soon as there is something, "" if nothing will come. */
async function begun(reply: Reply, turn: Turn): Promise<string> {
  for (;;) {
    const { version } = reply;
    const rest = restOf(reply, turn);
    if (rest === null) {
      throw new Superseded();
    }
    if (rest || reply.isDone) {
      return rest;
    }
    await reply.changed(version);
  }
}

/**
 * What is left of a reply where the cursor is now; null once it must not be
 * shown: the turn is over, the cursor left its way, or it was ended.
 */
function restOf(reply: Reply, turn: Turn): string | null {
  if (turn.isOver || reply.isAborted) {
    return null;
  }
  const { widget } = turn;
  const place = isCommanding(activeEditor(widget))
    ? null
    : currentPlace(widget);
  const rest = place && reply.rest(place);
  if (rest === null) {
    reply.abort();
  }
  return rest;
}
