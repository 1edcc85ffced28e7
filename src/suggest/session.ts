import type { CodeEditor } from '@jupyterlab/codeeditor';
import type {
  CompletionHandler,
  IInlineCompletionItem
} from '@jupyterlab/completer';
import { type ISignal, Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { SantaApi } from '../server/api';
import type { IServerWatch } from '../server/monitor';
import type { ICompletion, ICompletionRequest } from '../server/protocol';
import {
  activeEditor,
  activeLanguage,
  currentPlace,
  currentRequest,
  readAround,
  requestPlace
} from '../document/context';
import type { KernelFacts } from '../document/kernelfacts';
import { importsAbove, withAbove } from '../document/imports';
import type { IPlace } from '../document/types';
import { watchWhere, whereIs } from '../document/where';
import type { Ghosts, IGhostItem } from '../jupyterlab/ghosts';
import {
  isCommanding,
  isComposing,
  isOthersChange,
  type TextChange
} from '../jupyterlab/internals';
import { isPopupOpen } from '../jupyterlab/popup';
import type { Settings } from '../settings';
import { Ahead } from './ahead';
import { Asking, askedNow } from './asking';
import { Delivery } from './delivery';
import type { Pace } from './pace';
import { Replies } from './replies';
import { Reply, type Run } from './reply';
import { type Silence, whyNothing, whyNowhere } from './silence';
import { Superseded, Turn } from './turn';
import { essence } from './variants';

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
    const editor = activeEditor(widget);
    const isAutomatic = trigger === 'automatic';
    if (isAutomatic && !this._isTypedIn(editor)) {
      return [];
    }
    if (isAutomatic && isOthersChange(editor)) {
      throw new Superseded();
    }
    const turn = this._begin(widget, requestPlace(widget, request));
    return turn.finds(
      isAutomatic ? this._whileTyping(turn) : this._whenAsked(turn)
    );
  }

  /** Someone else changes the text there, which the editor may have to take in yet. */
  shift(widget: Widget, change: TextChange): void {
    if (this._turn?.widget === widget) {
      this._turn.shift(change);
    }
  }

  /** Moves what is asked to where that change moved the cursor; whether the user waits for it. */
  follow(widget: Widget): boolean {
    const turn = this._turn;
    const place = currentPlace(widget);
    if (turn?.widget !== widget || !turn.isWaitedFor || !place) {
      return false;
    }
    const from = turn.place;
    if (turn.follow(place)) {
      this._replies.follow(from, place);
    }
    return true;
  }

  /** What the user waits for, for a later call. */
  async again(): Promise<IGhostItem[]> {
    if (!this._turn) {
      throw new Superseded();
    }
    return this._turn.again();
  }

  /** Ends what is asked and shown of ours there. */
  end(widget: Widget): void {
    this._endTurn();
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
    await readAround(widget);
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
    const rests = shown.map(reply => reply.rest(place));
    const made = await this._asking.others(request, widget, n);
    const now = currentPlace(widget);
    // Others' changes of the text move what is shown.
    const isStill = (reply: Reply, at: number) =>
      now !== null && reply.rest(now) === rests[at];
    if (!now || !(samePlace(now, place) || shown.some(isStill))) {
      return [];
    }
    const others = distinct(made, rests).map(({ text, imports }) => ({
      insertText: text,
      suggestion: Reply.of(text, now, around, asked, imports ?? [])
    }));
    this._replies.add(...shown, ...others.map(({ suggestion }) => suggestion));
    return others;
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

  /** A command's request is for a place to which others' changes have moved it, whatever else has changed meanwhile; false where it isn't. */
  offer(reply: Reply, widget: Widget, place: IPlace): boolean {
    if (!reply.follow(place)) {
      return false;
    }
    this._forget();
    reply.around = this._asking.around(widget);
    this._take(reply);
    return true;
  }

  /** The whole text to show, each time more of it is there. */
  stream(token: string): AsyncGenerator<IInlineCompletionItem> {
    return this._delivery.stream(token);
  }

  /** Whether typing may suggest something: not where the user types into another view of the document, or gives commands. */
  private _isTypedIn(editor: CodeEditor.IEditor | null): boolean {
    const { holdToShow } = this._settings.choices;
    return isWrittenIn(editor) && (this.isHeld || !holdToShow);
  }

  private async _whileTyping(turn: Turn): Promise<IGhostItem[]> {
    if (this._isOff(turn.widget)) {
      this._current?.abort();
      return [];
    }
    return this._answer(turn, true);
  }

  private async _whenAsked(turn: Turn): Promise<IGhostItem[]> {
    const { widget } = turn;
    try {
      const items = await this._answer(turn, false);
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

  private async _answer(turn: Turn, automatic: boolean): Promise<IGhostItem[]> {
    // JupyterLab may call in the middle of the editor's update.
    await Promise.resolve();
    const editor = activeEditor(turn.widget);
    this._ghosts.tidy(editor);
    const items = await this._find(turn, automatic);
    const suggestion = items[0]?.suggestion;
    if (suggestion instanceof Reply) {
      watchWhere(turn.widget, () => this._endWhereOff());
      void this._lookAhead(suggestion, turn);
    }
    if (items.length === 0) {
      // JupyterLab takes the empty list only after this returns.
      setTimeout(() => this._ghosts.tidy(editor), 0);
    }
    return items.length > 0 && editor && this._ghosts.isCovered(editor)
      ? []
      : items;
  }

  private async _find(turn: Turn, automatic: boolean): Promise<IGhostItem[]> {
    const { widget } = turn;
    while (!turn.isOver && isComposing(activeEditor(widget))) {
      await sleep(GLANCE);
    }
    // 1. What is known.
    const { place } = turn;
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
    const taken = [...known, this._current].find(reply =>
      reply?.isTaken(place)
    );
    if (automatic && !taken) {
      await sleep(this._settings.choices.delay || this.pace.wait);
    }
    // 4. The server.
    return this._ask(turn, automatic);
  }

  /** What the server says; it is asked again where someone else changed the line meanwhile. */
  private async _ask(turn: Turn, automatic: boolean): Promise<IGhostItem[]> {
    const { widget } = turn;
    const request = currentRequest(widget);
    const place = currentPlace(widget);
    if (!request || !place || !turn.goesTo(place)) {
      throw new Superseded();
    }
    const body = this._asking.body(request, widget, automatic);
    const reply = this._take(this._asking.ask(body, place, widget));
    try {
      return await this._delivery.items([reply], turn);
    } catch (error) {
      if (samePlace(currentPlace(widget), turn.place)) {
        throw error;
      }
      return this._ask(turn, automatic);
    }
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
      this._ghosts.in(activeEditor(widget))?.insertText === rest &&
      !this.isAsking &&
      this.mayAsk(widget, true)
    ) {
      const above = importsAbove(place.prefix, rest, reply.imports);
      const prefix = withAbove(place.prefix, above) + rest;
      const next = { ...place, prefix };
      this._replies.add(this._ahead.ask(next, widget));
    }
  }

  /** Who dismissed the suggestion won't come to what follows it; who accepted it did. */
  private _leave(): void {
    if (!this._ahead.isAsked) {
      return;
    }
    // Accepted text is there before its ghost is gone, and the cursor behind it after that.
    setTimeout(() => {
      const place = this._turn && currentPlace(this._turn.widget);
      if (!place || !this._ahead.isFor(place)) {
        this._ahead.end();
      }
    }, 0);
  }

  /** The turn of a call, which ends the one before. */
  private _begin(widget: Widget, place: IPlace): Turn {
    this._endTurn();
    return (this._turn = new Turn(widget, place));
  }

  private _endTurn(): void {
    if (this._turn) {
      this._turn.isOver = true;
    }
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

  /** The cell that is suggested in may have been locked or excluded meanwhile, by whomever. */
  private _endWhereOff(): void {
    const widget = this._turn?.widget;
    if (widget && !widget.isDisposed && this._isOff(widget)) {
      this.end(widget);
    }
  }

  /** The replies on whose way the place is, the newest first. */
  private _known(widget: Widget, place: IPlace): Reply[] {
    this._forget();
    const known = this._replies.at(place, this._asking.around(widget));
    // What the user sees he may type, whatever happens in other cells.
    const seen = this._ghosts.in(activeEditor(widget))?.suggestion;
    const isOn = seen instanceof Reply && seen.rest(place) !== null;
    return isOn && !known.includes(seen) ? [seen, ...known] : known;
  }

  /** What was said and is shown was made as the user wants it no more. */
  private _forgetAll(): void {
    this._endTurn();
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

/** Those that say something other than what is shown, or one before them. */
function distinct(
  made: ICompletion[],
  shown: readonly (string | null)[]
): ICompletion[] {
  const seen = new Set(['', ...shown.map(text => essence(text ?? ''))]);
  return made.filter(({ text }) => {
    const isNew = !seen.has(essence(text));
    seen.add(essence(text));
    return isNew;
  });
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
