import {
  type CompletionHandler,
  type IInlineCompletionContext,
  type IInlineCompletionItem,
  type IInlineCompletionList,
  type IInlineCompletionProvider,
  InlineCompletionTriggerKind
} from '@jupyterlab/completer';
import { type JSONValue, UUID } from '@lumino/coreutils';
import { type ISignal, Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { ICompletionRequest, SantaApi } from './api';
import {
  activeEditor,
  activeType,
  currentPlace,
  currentRequest,
  type IPlace,
  notebookContext,
  requestPlace
} from './context';
import type { Ghosts } from './ghosts';
import { santaIcon } from './icon';
import type { KernelFacts } from './kernelfacts';
import { Reply, type Run } from './reply';
import type { Settings } from './settings';

/** Past replies kept to answer from when the user types through or goes back. */
const MAX_REPLIES = 16;
/** A command's text has this many tokens at most, or as many as the user allows while typing. */
const ORDERED_TOKENS = 256;

const NOTHING: IInlineCompletionList = { items: [] };

/** Who knows the server, and is told how each request went. */
export interface IServerWatch {
  /** The model that answers now, as far as known. */
  readonly serving: string | null;
  /** Whether to ask at all now. */
  mayAsk(automatic: boolean): boolean;
  asked(): void;
  answered(): void;
  failed(error: unknown): void;
}

/** JupyterLab's way to our ghost text. */
export class SantaProvider implements IInlineCompletionProvider {
  constructor(
    private readonly _api: SantaApi,
    private readonly _settings: Settings,
    private readonly _ghosts: Ghosts,
    private readonly _watch: IServerWatch,
    private readonly _facts: Pick<KernelFacts, 'about' | 'settled'>
  ) {
    _settings.changed.connect(() => {
      this._replies = [];
    });
  }

  readonly name = 'SantaCoder';
  readonly identifier = 'santajupyter:inline';
  readonly icon = santaIcon;

  /**
   * JupyterLab must not wait after a key: `fetch` has to hear of each one to end
   * the request before and to answer what it knows. The waiting is ours.
   */
  readonly schema = {
    default: {
      enabled: true,
      autoFillInMiddle: true,
      timeout: 15000,
      debouncerDelay: 0
    }
  };

  /** Emits what the server is asked, as it is asked. */
  get asked(): ISignal<this, ICompletionRequest> {
    return this._asked;
  }

  /** Whether the server has yet to answer a request. */
  get isAsking(): boolean {
    return this._current !== null && !this._current.isDone;
  }

  /** Hears from JupyterLab what its own settings say of us. */
  configure(settings: { [property: string]: JSONValue } | undefined): void {
    this._isOn = settings?.enabled !== false;
  }

  async fetch(
    request: CompletionHandler.IRequest,
    context: IInlineCompletionContext
  ): Promise<IInlineCompletionList> {
    const call = ++this._call;
    const { widget } = context;
    const place = requestPlace(widget, request);
    const automatic =
      this._unasked ||
      context.triggerKind === InlineCompletionTriggerKind.Automatic;
    // JupyterLab may call in the middle of the editor's update.
    await Promise.resolve();
    const editor = activeEditor(widget);
    this._ghosts.tidy(editor);
    const list = await this._answer(request, widget, automatic, place, call);
    if (list.items.length === 0) {
      // JupyterLab takes the empty list only after this returns.
      setTimeout(() => this._ghosts.tidy(editor), 0);
    }
    return list;
  }

  /** Whether the last request was made for where the cursor still is, and got no text. */
  isUnanswered(widget: Widget): boolean {
    const reply = this._current;
    const place = currentPlace(widget);
    return (
      reply !== null &&
      place !== null &&
      reply.isDone &&
      !reply.isAborted &&
      reply.rest(place) === ''
    );
  }

  /** What the server would be asked if a key brought the cursor where it is; null: nothing. */
  async upcoming(widget: Widget): Promise<ICompletionRequest | null> {
    await this._settings.ready;
    await this._facts.settled(widget);
    const request = currentRequest(widget);
    return request && this._wanted(widget, true)
      ? this._body(request, widget, true)
      : null;
  }

  /** Runs `invoke`, JupyterLab's command, as if typing had asked: the user didn't. */
  unasked(invoke: () => void): void {
    this._unasked = true;
    try {
      invoke();
    } finally {
      this._unasked = false;
    }
  }

  /** Whether the user may ask for something there. */
  mayAsk(widget: Widget): boolean {
    return this._wanted(widget, false);
  }

  /** What a command asks the server: for more than what typing asks. */
  order(
    widget: Widget,
    request: CompletionHandler.IRequest
  ): ICompletionRequest {
    const body = this._body(request, widget, false);
    const tokens = Math.max(body.max_new_tokens, ORDERED_TOKENS);
    return { ...body, mode: 'block', max_new_tokens: tokens };
  }

  /**
   * Begins a command's own request. It ends the one before, as the next ends it, and
   * is what JupyterLab gets when it asks at that place.
   */
  begin(widget: Widget, place: IPlace, run: Run): Reply {
    this._call++;
    this._current?.abort();
    this._ghosts.dismiss(activeEditor(widget));
    this._watch.asked();
    const reply = new Reply(place, run);
    this._current = reply;
    this._model = this._watch.serving;
    this._replies = [reply];
    return reply;
  }

  /** The whole text to show, each time more of it is there. */
  async *stream(
    token: string
  ): AsyncGenerator<{ response: IInlineCompletionItem }> {
    const streamed = this._streams.get(token);
    this._streams.delete(token);
    if (!streamed) {
      return;
    }
    const { reply, widget, call } = streamed;
    for (;;) {
      const { version } = reply;
      const isIncomplete = !reply.isDone;
      const insertText = this._rest(reply, widget, call);
      if (insertText) {
        yield { response: { insertText, isIncomplete } };
      } else if (insertText === null || !isIncomplete) {
        break;
      }
      if (!isIncomplete) {
        return;
      }
      await reply.changed(version);
    }
    if (call === this._call) {
      // What is shown isn't what the reply came to in the end.
      this._ghosts.dismiss(activeEditor(widget));
    }
  }

  private async _answer(
    request: CompletionHandler.IRequest,
    widget: Widget,
    automatic: boolean,
    place: IPlace,
    call: number
  ): Promise<IInlineCompletionList> {
    const known = this._known(place);
    if (known) {
      const list = await this._list(known, widget, call);
      if (list.items.length > 0) {
        return list;
      }
    }
    this._current?.abort();
    await this._settings.ready;
    if (!this._wanted(widget, automatic)) {
      return NOTHING;
    }
    // JupyterLab asks right after a suggestion was accepted; what comes next needn't wait for a key.
    if (automatic && !known?.isTaken(place)) {
      await sleep(this._settings.choices.delay);
    }
    if (call !== this._call || !samePlace(currentPlace(widget), place)) {
      throw new Superseded();
    }
    const reply = this._ask(request, widget, automatic, place);
    return this._list(reply, widget, call);
  }

  private _wanted(widget: Widget, automatic: boolean): boolean {
    const { choices } = this._settings;
    const type = activeType(widget);
    return (
      this._isOn &&
      choices.enabled &&
      (choices.automatic || !automatic) &&
      (type === 'code' || (type === 'markdown' && choices.markdown)) &&
      this._watch.mayAsk(automatic)
    );
  }

  /** The newest reply on whose way the place is. */
  private _known(place: IPlace): Reply | undefined {
    if (this._model !== this._watch.serving) {
      this._model = this._watch.serving;
      this._replies = [];
    }
    this._replies = this._replies.filter(
      reply => reply.place.editor === place.editor && isUsable(reply)
    );
    return this._replies.find(reply => reply.rest(place) !== null);
  }

  private _ask(
    request: CompletionHandler.IRequest,
    widget: Widget,
    automatic: boolean,
    place: IPlace
  ): Reply {
    const body = this._body(request, widget, automatic);
    this._asked.emit(body);
    const reply = new Reply(place, (signal, onText) =>
      this._complete(body, signal, onText)
    );
    this._current = reply;
    this._replies = [reply, ...this._replies].slice(0, MAX_REPLIES);
    return reply;
  }

  private _body(
    request: CompletionHandler.IRequest,
    widget: Widget,
    automatic: boolean
  ): ICompletionRequest {
    const { mode, maxNewTokens, temperature, outputs } = this._settings.choices;
    const context = notebookContext(widget, request, outputs);
    return {
      ...context,
      ...this._facts.about(widget, context),
      trigger: automatic ? 'automatic' : 'invoke',
      mode,
      max_new_tokens: maxNewTokens,
      temperature,
      client: `${this._tab}:${widget.id}`
    };
  }

  private async _complete(
    ...[body, signal, onText]: Parameters<SantaApi['complete']>
  ): Promise<string> {
    this._watch.asked();
    try {
      const text = await this._api.complete(body, signal, onText);
      this._watch.answered();
      return text;
    } catch (error) {
      if (!signal.aborted) {
        this._watch.failed(error);
      }
      throw error;
    }
  }

  /** What to show of a reply, as soon as there is something. */
  private async _list(
    reply: Reply,
    widget: Widget,
    call: number
  ): Promise<IInlineCompletionList> {
    for (;;) {
      const { version } = reply;
      const rest = this._rest(reply, widget, call);
      if (rest === null) {
        throw new Superseded();
      }
      if (rest) {
        return { items: [this._item(rest, reply, widget, call)] };
      }
      if (reply.isDone) {
        return NOTHING;
      }
      await reply.changed(version);
    }
  }

  private _item(
    insertText: string,
    reply: Reply,
    widget: Widget,
    call: number
  ): IInlineCompletionItem {
    if (reply.isDone) {
      return { insertText };
    }
    const token = UUID.uuid4();
    this._streams.clear();
    this._streams.set(token, { reply, widget, call });
    return { insertText, isIncomplete: true, token };
  }

  /**
   * What is left of a reply where the cursor is now; null once it must not be
   * shown: a newer call came, the cursor left its way, or it was ended.
   */
  private _rest(reply: Reply, widget: Widget, call: number): string | null {
    if (call !== this._call || reply.isAborted) {
      return null;
    }
    const place = currentPlace(widget);
    const rest = place && reply.rest(place);
    if (rest === null) {
      reply.abort();
    }
    return rest;
  }

  private _asked = new Signal<this, ICompletionRequest>(this);
  private _call = 0;
  private _current: Reply | null = null;
  private _isOn = true;
  private _model: string | null = null;
  private _replies: Reply[] = [];
  private _streams = new Map<
    string,
    { reply: Reply; widget: Widget; call: number }
  >();
  private readonly _tab = UUID.uuid4();
  private _unasked = false;
}

/** Rejects a call of `fetch` that has no answer any more; JupyterLab keeps what it shows. */
class Superseded extends Error {}

function isUsable(reply: Reply): boolean {
  return !reply.isAborted && reply.error === null;
}

function samePlace(now: IPlace | null, then: IPlace): boolean {
  return (
    now !== null &&
    now.editor === then.editor &&
    now.prefix === then.prefix &&
    now.suffix === then.suffix
  );
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, milliseconds));
}
