import type { CodeEditor } from '@jupyterlab/codeeditor';
import type {
  CompletionHandler,
  IInlineCompletionItem
} from '@jupyterlab/completer';
import { UUID } from '@lumino/coreutils';
import { type ISignal, Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import { type ICompletionRequest, ServerError } from '../server/protocol';
import type { IPlace } from '../document/types';
import type { SantaApi } from '../server/api';
import type { IServerWatch } from '../server/monitor';
import {
  activeEditor,
  currentPlace,
  currentRequest,
  notebookContext,
  requestPlace,
  surroundings
} from '../document/context';
import { whereIs } from '../document/where';
import type { Ghosts, IGhostItem } from '../jupyterlab/ghosts';
import {
  isCommanding,
  isComposing,
  isOthersChange
} from '../jupyterlab/internals';
import type { KernelFacts } from '../document/kernelfacts';
import { Pace } from './pace';
import { Replies } from './replies';
import { Reply, type Run } from './reply';
import type { Refusal, Settings } from '../settings';

/** Several greedy candidates would all be the same. */
const OTHERS_TEMPERATURE = 0.8;

/** How likely all of a text must be for a user who wants only what is sure. */
const SURE = 0.5;

/** A command's text has this many tokens at most, or as many as the user allows while typing. */
const ORDERED_TOKENS = 256;

/** Milliseconds between two looks whether an input method is done: not each one tells. */
const GLANCE = 50;

/** Why nothing was shown where the user asked. */
export type Silence =
  | Refusal
  | 'cursors'
  | 'selection'
  | 'line-breaks'
  | 'absent'
  | 'loading'
  | 'failed'
  | 'nothing';

/**
 * What to suggest and when to ask the server for it: answers from what is known,
 * else waits, asks and streams, one request at a time.
 */
export class Session {
  constructor(
    private readonly _api: SantaApi,
    private readonly _settings: Settings,
    private readonly _ghosts: Ghosts,
    private readonly _watch: IServerWatch,
    private readonly _facts: Pick<KernelFacts, 'about' | 'readings' | 'settled'>
  ) {
    _settings.changed.connect(() => this._forgetAll());
    void _settings.ready.then(() => (this._isReady = true));
  }

  /** How fast the user types and the server answers. */
  readonly pace = new Pace();

  /** Whether the user holds the key that shows suggestions, where there is one. */
  isHeld = false;

  /** Emits what the server is asked, as it is asked. */
  get asked(): ISignal<this, ICompletionRequest> {
    return this._asked;
  }

  /** Whether the server has yet to answer a request. */
  get isAsking(): boolean {
    return this._current !== null && !this._current.isDone;
  }

  /** Why nothing was shown where the user asked last; null: something was. */
  get silence(): Silence | null {
    return this._silence;
  }

  /** Emits what `silence` is after each time that the user asked. */
  get answered(): ISignal<this, Silence | null> {
    return this._answered;
  }

  /** What to show where the request was made; rejects what has no answer any more. */
  async suggest(
    request: CompletionHandler.IRequest,
    widget: Widget,
    trigger: ICompletionRequest['trigger']
  ): Promise<IGhostItem[]> {
    if (trigger === 'automatic') {
      return this._suggest(request, widget, trigger);
    }
    const call = this._call + 1;
    const items = await this._suggest(request, widget, trigger).catch(error => {
      if (call === this._call && whyNowhere(widget)) {
        this._tell(whyNowhere(widget));
      }
      throw error;
    });
    this._tell(items.length > 0 ? null : this._why(widget));
    return items;
  }

  private async _suggest(
    request: CompletionHandler.IRequest,
    widget: Widget,
    trigger: ICompletionRequest['trigger']
  ): Promise<IGhostItem[]> {
    const automatic = trigger === 'automatic';
    if (automatic && !isWrittenIn(activeEditor(widget))) {
      // The user types into another view of the document, or gives commands.
      return [];
    }
    if (automatic && this._settings.choices.holdToShow && !this.isHeld) {
      return [];
    }
    if (automatic && isOthersChange(activeEditor(widget))) {
      return this._goOn(widget);
    }
    const call = ++this._call;
    if (automatic && this._isOff(widget)) {
      this._current?.abort();
      return [];
    }
    const place = requestPlace(widget, request);
    // JupyterLab may call in the middle of the editor's update.
    await Promise.resolve();
    const editor = activeEditor(widget);
    this._ghosts.tidy(editor);
    const items = await this._answer(request, widget, automatic, place, call);
    if (items.length === 0) {
      // JupyterLab takes the empty list only after this returns.
      setTimeout(() => this._ghosts.tidy(editor), 0);
    }
    return items;
  }

  /** Ends what is asked and shown of ours there. */
  end(widget: Widget): void {
    this._call++;
    this._current?.abort();
    this._ghosts.end(activeEditor(widget));
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
    return request && this.mayAsk(widget, true)
      ? this._body(request, widget, true)
      : null;
  }

  /** Whether there is text to show where the cursor is, without a request. */
  knows(widget: Widget): boolean {
    const place = currentPlace(widget);
    return (
      place !== null &&
      this._known(widget, place).some(reply => reply.rest(place))
    );
  }

  /** Other texts than those known where the cursor is: asks for them. */
  async others(widget: Widget): Promise<IGhostItem[]> {
    const request = currentRequest(widget);
    const place = currentPlace(widget);
    const n = this._settings.choices.alternatives;
    if (!request || !place || this.isAsking || n === 0) {
      return [];
    }
    const around = this._around(widget);
    const shown = this._known(widget, place);
    const texts = new Set(await this._candidates(request, widget, n));
    shown.forEach(reply => texts.delete(reply.rest(place) ?? ''));
    texts.delete('');
    const others = [...texts].map(insertText => ({
      insertText,
      suggestion: Reply.of(insertText, place, around)
    }));
    this._replies.add(...shown, ...others.map(({ suggestion }) => suggestion));
    return samePlace(currentPlace(widget), place) ? others : [];
  }

  /** Whether the user may ask for something there, or typing may. */
  mayAsk(widget: Widget, automatic = false): boolean {
    return (
      this._settings.refusal(whereIs(widget)) === null &&
      (this._settings.choices.automatic || !automatic) &&
      !(automatic && isCommanding(activeEditor(widget))) &&
      this._watch.mayAsk(automatic)
    );
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
    this._ghosts.end(activeEditor(widget));
    const around = this._around(widget);
    const reply = new Reply(place, around, async (signal, onText) => {
      this._watch.asked();
      try {
        return await run(signal, onText);
      } finally {
        this._watch.ended();
      }
    });
    this._current = reply;
    this._forget();
    this._replies.add(reply);
    return reply;
  }

  /** The whole text to show, each time more of it is there. */
  async *stream(token: string): AsyncGenerator<IInlineCompletionItem> {
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
        yield { insertText, isIncomplete };
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
      this._ghosts.end(activeEditor(widget));
    }
  }

  private async _answer(
    request: CompletionHandler.IRequest,
    widget: Widget,
    automatic: boolean,
    place: IPlace,
    call: number
  ): Promise<IGhostItem[]> {
    while (call === this._call && isComposing(activeEditor(widget))) {
      await sleep(GLANCE);
    }
    const known = this._known(widget, place);
    if (this._current && !known.includes(this._current)) {
      this._current.abort();
    }
    const items = await this._list(known, widget, call);
    if (items.length > 0 || (automatic && known.some(reply => reply.isEmpty))) {
      return items;
    }
    this._current?.abort();
    await this._settings.ready;
    if (!this.mayAsk(widget, automatic)) {
      return [];
    }
    // JupyterLab asks right after a suggestion was accepted; what comes next needn't wait for a key.
    if (automatic && !known.some(reply => reply.isTaken(place))) {
      await sleep(this._settings.choices.delay || this.pace.wait);
    }
    if (call !== this._call || !samePlace(currentPlace(widget), place)) {
      throw new Superseded();
    }
    const reply = this._ask(request, widget, automatic, place);
    return this._list([reply], widget, call);
  }

  /** Whether nothing is suggested there, not even what is known; false before the settings are read. */
  private _isOff(widget: Widget): boolean {
    return this._isReady && this._settings.refusal(whereIs(widget)) !== null;
  }

  private _why(widget: Widget): Silence {
    const refusal = this._settings.refusal(whereIs(widget));
    const nowhere = whyNowhere(widget);
    const { error = null } = this._current ?? {};
    return (
      refusal ??
      nowhere ??
      (this._watch.isAbsent
        ? 'absent'
        : error === null
          ? 'nothing'
          : isLoading(error)
            ? 'loading'
            : 'failed')
    );
  }

  private _tell(silence: Silence | null): void {
    this._silence = silence;
    this._answered.emit(silence);
  }

  /** Someone else changed the text: what the user was to get still comes, and nothing else. */
  private async _goOn(widget: Widget): Promise<IGhostItem[]> {
    const reply = this._current;
    // The editor takes the change in after this.
    await sleep(0);
    const place = currentPlace(widget);
    if (!reply || reply.isAborted || !place || reply !== this._current) {
      throw new Superseded();
    }
    if (!reply.follow(place)) {
      throw new Superseded();
    }
    return this._list([reply], widget, ++this._call);
  }

  /** The replies on whose way the place is, the newest first. */
  private _known(widget: Widget, place: IPlace): Reply[] {
    this._forget();
    return this._replies.at(place, this._around(widget));
  }

  /** What was said and is shown was made as the user wants it no more. */
  private _forgetAll(): void {
    this._call++;
    this._current?.abort();
    this._replies.clear();
    this._ghosts.end();
  }

  /** Another model's replies. */
  private _forget(): void {
    if (this._model !== this._watch.serving) {
      this._model = this._watch.serving;
      this._replies.clear();
    }
  }

  /** All that a reply depends on but for the text that is being edited. */
  private _around(widget: Widget): string {
    return `${surroundings(widget)} ${this._facts.readings(widget)}`;
  }

  private _ask(
    request: CompletionHandler.IRequest,
    widget: Widget,
    automatic: boolean,
    place: IPlace
  ): Reply {
    const body = this._body(request, widget, automatic);
    this._asked.emit(body);
    this._others.abort();
    const reply = new Reply(place, this._around(widget), (signal, onText) =>
      this._watched(signal, () => this._api.complete(body, signal, onText))
    );
    this._current = reply;
    void this._time(reply);
    this._replies.add(reply);
    return reply;
  }

  private _body(
    request: CompletionHandler.IRequest,
    widget: Widget,
    automatic: boolean
  ): ICompletionRequest {
    const { mode, maxNewTokens, onlySure, outputs, temperature } =
      this._settings.choices;
    const context = notebookContext(widget, request, outputs);
    return {
      ...context,
      ...this._facts.about(widget, context),
      trigger: automatic ? 'automatic' : 'invoke',
      mode,
      max_new_tokens: maxNewTokens,
      temperature,
      client: `${this._tab}:${widget.id}`,
      ...(automatic && onlySure && { min_probability: SURE })
    };
  }

  private async _candidates(
    request: CompletionHandler.IRequest,
    widget: Widget,
    n: number
  ): Promise<string[]> {
    const body = this._body(request, widget, false);
    body.temperature = Math.max(body.temperature, OTHERS_TEMPERATURE);
    this._asked.emit(body);
    this._others.abort();
    const { signal } = (this._others = new AbortController());
    try {
      return await this._watched(signal, () =>
        this._api.candidates(body, n, signal)
      );
    } catch {
      // The watch tells what is wrong with the server.
      return [];
    }
  }

  private async _watched<T>(
    signal: AbortSignal,
    ask: () => Promise<T>
  ): Promise<T> {
    this._watch.asked();
    try {
      const answer = await ask();
      this._watch.answered();
      return answer;
    } catch (error) {
      if (!signal.aborted) {
        this._watch.failed(error);
      }
      throw error;
    } finally {
      this._watch.ended();
    }
  }

  /** Tells the pace how long a reply takes to its first text. */
  private async _time(reply: Reply): Promise<void> {
    const begun = performance.now();
    while (!reply.isDone && !reply.hasText) {
      await reply.changed(reply.version);
    }
    if (!reply.isAborted && reply.hasText) {
      this.pace.answered(performance.now() - begun);
    }
  }

  /** What the first of the replies that says something says, as soon as it does, then what others say. */
  private async _list(
    replies: Reply[],
    widget: Widget,
    call: number
  ): Promise<IGhostItem[]> {
    for (const reply of replies) {
      const rest = await this._begun(reply, widget, call);
      if (rest) {
        const items = new Map([[rest, this._item(rest, reply, widget, call)]]);
        for (const other of replies.filter(({ isDone }) => isDone)) {
          const insertText = this._rest(other, widget, call);
          if (insertText && !items.has(insertText)) {
            items.set(insertText, { insertText, suggestion: other });
          }
        }
        return [...items.values()];
      }
    }
    return [];
  }

  /** What there is to show of a reply as soon as there is something, "" if nothing will come. */
  private async _begun(
    reply: Reply,
    widget: Widget,
    call: number
  ): Promise<string> {
    for (;;) {
      const { version } = reply;
      const rest = this._rest(reply, widget, call);
      if (rest === null) {
        throw new Superseded();
      }
      if (rest || reply.isDone) {
        return rest;
      }
      await reply.changed(version);
    }
  }

  private _item(
    insertText: string,
    reply: Reply,
    widget: Widget,
    call: number
  ): IGhostItem {
    const item = { insertText, suggestion: reply };
    if (reply.isDone) {
      return item;
    }
    const token = UUID.uuid4();
    this._streams.clear();
    this._streams.set(token, { reply, widget, call });
    return { ...item, isIncomplete: true, token };
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

  private _answered = new Signal<this, Silence | null>(this);
  private _asked = new Signal<this, ICompletionRequest>(this);
  private _call = 0;
  private _current: Reply | null = null;
  private _isReady = false;
  private _model: string | null = null;
  private _others = new AbortController();
  private readonly _replies = new Replies();
  private _streams = new Map<
    string,
    { reply: Reply; widget: Widget; call: number }
  >();
  private _silence: Silence | null = null;
  private readonly _tab = UUID.uuid4();
}

/** Rejects a call of `suggest` that has no answer any more; JupyterLab keeps what it shows. */
class Superseded extends Error {}

function isWrittenIn(editor: CodeEditor.IEditor | null): boolean {
  return !!editor?.hasFocus() && !isCommanding(editor);
}

/** Why there is no place for a suggestion; null where there is one. */
function whyNowhere(widget: Widget): Silence | null {
  const editor = activeEditor(widget);
  if (!editor || currentPlace(widget)) {
    return null;
  }
  return editor.getSelections().length > 1
    ? 'cursors'
    : editor.model.sharedModel.getSource().includes('\r')
      ? 'line-breaks'
      : 'selection';
}

function isLoading(error: unknown): boolean {
  return error instanceof ServerError && error.reason === 'loading';
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
