import type { CodeEditor } from '@jupyterlab/codeeditor';
import type {
  CompletionHandler,
  IInlineCompletionItem
} from '@jupyterlab/completer';
import { type ISignal, Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { SantaApi } from '../server/api';
import type { IServerWatch } from '../server/monitor';
import type { ICompletionRequest } from '../server/protocol';
import {
  activeEditor,
  activeLanguage,
  currentPlace,
  currentRequest,
  requestPlace
} from '../document/context';
import type { KernelFacts } from '../document/kernelfacts';
import type { IPlace } from '../document/types';
import { whereIs } from '../document/where';
import type { Ghosts, IGhostItem } from '../jupyterlab/ghosts';
import {
  isCommanding,
  isComposing,
  isOthersChange
} from '../jupyterlab/internals';
import { isPopupOpen } from '../jupyterlab/popup';
import type { Settings } from '../settings';
import { Ahead } from './ahead';
import { Asking, askedNow } from './asking';
import { Delivery, Superseded, Turn } from './delivery';
import type { Pace } from './pace';
import { Replies } from './replies';
import { Reply, type Run } from './reply';
import { type Silence, whyNothing, whyNowhere } from './silence';

/** Milliseconds between two looks whether an input method is done: not each one tells. */
const GLANCE = 50;

/**
 * What to suggest and when to ask the server for it: answers from what is known,
 * else waits, asks and streams, one request at a time.
 */
export class Session {
  constructor(
    api: SantaApi,
    private readonly _settings: Settings,
    private readonly _ghosts: Ghosts,
    private readonly _watch: IServerWatch,
    private readonly _facts: Pick<KernelFacts, 'about' | 'readings' | 'settled'>
  ) {
    this._asking = new Asking(api, _settings, _watch, _facts);
    this._ahead = new Ahead(this._asking);
    this._delivery = new Delivery(_ghosts);
    _ghosts.ended.connect(() => this._leave());
    _settings.changed.connect(() => this._forgetAll());
    void _settings.ready.then(() => (this._isReady = true));
  }

  /** Whether the user holds the key that shows suggestions, where there is one. */
  isHeld = false;

  /** How fast the user types and the server answers. */
  get pace(): Pace {
    return this._asking.pace;
  }

  /** Emits what the server is asked, as it is asked. */
  get asked(): ISignal<unknown, ICompletionRequest> {
    return this._asking.asked;
  }

  /** Whether the server has yet to answer a request. */
  get isAsking(): boolean {
    return this._current !== null && !this._current.isDone;
  }

  /** Emits, each time that the user asked, why nothing is shown; null: something is. */
  get answered(): ISignal<this, Silence | null> {
    return this._answered;
  }

  /** What to show where the request was made; rejects what has no answer any more. */
  async suggest(
    request: CompletionHandler.IRequest,
    widget: Widget,
    trigger: ICompletionRequest['trigger']
  ): Promise<IGhostItem[]> {
    const items =
      trigger === 'automatic'
        ? await this._whileTyping(request, widget)
        : await this._whenAsked(request, widget);
    const editor = activeEditor(widget);
    const isKept = items.length > 0 && editor && this._ghosts.isCovered(editor);
    return isKept ? [] : items;
  }

  /** Ends what is asked and shown of ours there. */
  end(widget: Widget): void {
    this._begin(widget);
    this._current?.abort();
    this._ahead.end();
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

  /** Why nothing is shown where the cursor is; null: something is, or may come yet. */
  why(widget: Widget): Silence | null {
    return (
      this._settings.refusal(whereIs(widget)) ??
      whyNowhere(widget) ??
      (this._watch.isAbsent ? 'absent' : null) ??
      (this.isUnanswered(widget) ? whyNothing(this._current) : null)
    );
  }

  /** What the server would be asked if a key brought the cursor where it is; null: nothing. */
  async upcoming(widget: Widget): Promise<ICompletionRequest | null> {
    await this._settings.ready;
    await this._facts.settled(widget);
    const request = currentRequest(widget);
    return request && this.mayAsk(widget, true)
      ? this._asking.body(request, widget, true)
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
    const { alternatives: n, mode } = this._settings.choices;
    if (!request || !place || this.isAsking || n === 0) {
      return [];
    }
    const around = this._asking.around(widget);
    const shown = this._known(widget, place);
    const asked = askedNow({
      trigger: 'invoke',
      mode,
      language: activeLanguage(widget)
    });
    const texts = new Set(await this._asking.others(request, widget, n));
    shown.forEach(reply => texts.delete(reply.rest(place) ?? ''));
    texts.delete('');
    const others = [...texts].map(insertText => ({
      insertText,
      suggestion: Reply.of(insertText, place, around, asked)
    }));
    this._replies.add(...shown, ...others.map(({ suggestion }) => suggestion));
    return samePlace(currentPlace(widget), place) ? others : [];
  }

  /** Whether the user may ask for something there, or typing may. */
  mayAsk(widget: Widget, automatic = false): boolean {
    return (
      this._settings.refusal(whereIs(widget)) === null &&
      (this._settings.choices.automatic || !automatic) &&
      !isCommanding(activeEditor(widget)) &&
      this._watch.mayAsk(automatic)
    );
  }

  /** What a command asks the server: for more than what typing asks. */
  order(
    widget: Widget,
    request: CompletionHandler.IRequest
  ): ICompletionRequest {
    return this._asking.order(request, widget);
  }

  /**
   * Begins a command's own request. It ends the one before, as the next ends it, and
   * is what JupyterLab gets when it asks at that place.
   */
  begin(widget: Widget, place: IPlace, run: Run): Reply {
    this.end(widget);
    this._forget();
    return this._take(this._asking.run(place, widget, run));
  }

  /** The whole text to show, each time more of it is there. */
  stream(token: string): AsyncGenerator<IInlineCompletionItem> {
    return this._delivery.stream(token);
  }

  private async _whileTyping(
    request: CompletionHandler.IRequest,
    widget: Widget
  ): Promise<IGhostItem[]> {
    const editor = activeEditor(widget);
    if (!isWrittenIn(editor)) {
      // The user types into another view of the document, or gives commands.
      return [];
    }
    if (this._settings.choices.holdToShow && !this.isHeld) {
      return [];
    }
    if (isOthersChange(editor)) {
      return this._goOn(widget);
    }
    const turn = this._begin(widget);
    if (this._isOff(widget)) {
      this._current?.abort();
      return [];
    }
    return this._answer(request, turn, true);
  }

  private async _whenAsked(
    request: CompletionHandler.IRequest,
    widget: Widget
  ): Promise<IGhostItem[]> {
    const turn = this._begin(widget);
    try {
      const items = await this._answer(request, turn, false);
      this._answered.emit(
        items.length === 0
          ? (this.why(widget) ?? whyNothing(this._current))
          : isPopupOpen(activeEditor(widget))
            ? 'list'
            : null
      );
      return items;
    } catch (error) {
      const nowhere = whyNowhere(widget);
      if (nowhere && !turn.isOver) {
        this._answered.emit(nowhere);
      }
      throw error;
    }
  }

  private async _answer(
    request: CompletionHandler.IRequest,
    turn: Turn,
    automatic: boolean
  ): Promise<IGhostItem[]> {
    const place = requestPlace(turn.widget, request);
    // JupyterLab may call in the middle of the editor's update.
    await Promise.resolve();
    const editor = activeEditor(turn.widget);
    this._ghosts.tidy(editor);
    const items = await this._find(request, turn, automatic, place);
    const suggestion = items[0]?.suggestion;
    if (suggestion instanceof Reply) {
      void this._lookAhead(suggestion, turn);
    }
    if (items.length === 0) {
      // JupyterLab takes the empty list only after this returns.
      setTimeout(() => this._ghosts.tidy(editor), 0);
    }
    return items;
  }

  private async _find(
    request: CompletionHandler.IRequest,
    turn: Turn,
    automatic: boolean,
    place: IPlace
  ): Promise<IGhostItem[]> {
    const { widget } = turn;
    while (!turn.isOver && isComposing(activeEditor(widget))) {
      await sleep(GLANCE);
    }
    // 1. What is known.
    const known = this._known(widget, place);
    if (this._current && !known.includes(this._current)) {
      this._current.abort();
    }
    this._current = this._ahead.take(known) ?? this._current;
    if (!known.some(reply => reply.rest(place))) {
      this._ahead.end();
    }
    const items = await this._delivery.items(known, turn);
    if (items.length > 0 || (automatic && known.some(reply => reply.isEmpty))) {
      return items;
    }
    // 2. Whether to ask.
    this._current?.abort();
    await this._settings.ready;
    if (!this.mayAsk(widget, automatic)) {
      return [];
    }
    // 3. A moment later: JupyterLab asks right after a suggestion was accepted; what comes next needn't wait for a key.
    if (automatic && !known.some(reply => reply.isTaken(place))) {
      await sleep(this._settings.choices.delay || this.pace.wait);
    }
    if (turn.isOver || !samePlace(currentPlace(widget), place)) {
      throw new Superseded();
    }
    // 4. The server.
    const body = this._asking.body(request, widget, automatic);
    const reply = this._take(this._asking.ask(body, place, widget));
    return this._delivery.items([reply], turn);
  }

  /** Asks for what follows a suggestion that the user looks at for a moment, to have it when he accepts. */
  private async _lookAhead(reply: Reply, turn: Turn): Promise<void> {
    const { widget } = turn;
    while (!reply.isDone) {
      await reply.changed(reply.version);
    }
    await sleep(this._settings.choices.delay || this.pace.wait);
    const place = currentPlace(widget);
    const rest = place && reply.rest(place);
    if (
      !turn.isOver &&
      rest &&
      this._ghosts.text(activeEditor(widget)) === rest &&
      !this.isAsking &&
      this.mayAsk(widget, true)
    ) {
      const next = { ...place, prefix: place.prefix + rest };
      this._replies.add(this._ahead.ask(next, widget));
    }
  }

  /** Who dismissed the suggestion won't come to what follows it; who accepted it did. */
  private _leave(): void {
    // Accepted text is there before its ghost is gone, and the cursor behind it after that.
    setTimeout(() => {
      const place = this._turn && currentPlace(this._turn.widget);
      if (!place || !this._ahead.isFor(place)) {
        this._ahead.end();
      }
    }, 0);
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
    return this._delivery.items([reply], this._begin(widget));
  }

  /** The turn of a call, which ends the one before. */
  private _begin(widget: Widget): Turn {
    if (this._turn) {
      this._turn.isOver = true;
    }
    return (this._turn = new Turn(widget));
  }

  private _take(reply: Reply): Reply {
    this._current = reply;
    this._replies.add(reply);
    return reply;
  }

  /** Whether nothing is suggested there, not even what is known; false before the settings are read. */
  private _isOff(widget: Widget): boolean {
    return this._isReady && this._settings.refusal(whereIs(widget)) !== null;
  }

  /** The replies on whose way the place is, the newest first. */
  private _known(widget: Widget, place: IPlace): Reply[] {
    this._forget();
    return this._replies.at(place, this._asking.around(widget));
  }

  /** What was said and is shown was made as the user wants it no more. */
  private _forgetAll(): void {
    if (this._turn) {
      this._turn.isOver = true;
    }
    this._current?.abort();
    this._ahead.end();
    this._replies.clear();
    this._ghosts.end();
  }

  /** Another model's replies. */
  private _forget(): void {
    if (this._model !== this._watch.serving) {
      this._model = this._watch.serving;
      this._ahead.end();
      this._replies.clear();
    }
  }

  private _answered = new Signal<this, Silence | null>(this);
  private readonly _ahead: Ahead;
  private readonly _asking: Asking;
  private _current: Reply | null = null;
  private readonly _delivery: Delivery;
  private _isReady = false;
  private _model: string | null = null;
  private readonly _replies = new Replies();
  private _turn: Turn | null = null;
}

function isWrittenIn(editor: CodeEditor.IEditor | null): boolean {
  return !!editor?.hasFocus() && !isCommanding(editor);
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
