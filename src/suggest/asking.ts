import type { CompletionHandler } from '@jupyterlab/completer';
import { UUID } from '@lumino/coreutils';
import { type ISignal, Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { SantaApi } from '../server/api';
import type { IServerWatch } from '../server/monitor';
import type { ICompletion, ICompletionRequest } from '../server/protocol';
import {
  activeEditor,
  activeLanguage,
  indentUnit,
  notebookContext,
  requestAt,
  requestPlace,
  surroundings
} from '../document/context';
import type { KernelFacts } from '../document/kernelfacts';
import type { IPlace } from '../document/types';
import type { IAsked } from '../jupyterlab/ghosts';
import type { Settings } from '../settings';
import { indentedAs, indentedRun } from './indentation';
import { Pace } from './pace';
import { Reply, type Run } from './reply';

/** Several greedy candidates would all be the same. */
const OTHERS_TEMPERATURE = 0.8;

/** How likely all of a text must be for a user who wants only what is sure. */
const SURE = 0.5;

/** A command's text has this many tokens at most, or as many as the user allows while typing. */
const ORDERED_TOKENS = 256;

/** How a suggestion is asked for now. */
export function askedNow({
  trigger,
  mode,
  language
}: Omit<IAsked, 'at'>): IAsked {
  return { trigger, mode, language, at: performance.now() };
}

/** What the server is asked, and the replies that come of it. */
export class Asking {
  constructor(
    private readonly _api: SantaApi,
    private readonly _settings: Settings,
    private readonly _watch: IServerWatch,
    private readonly _facts: Pick<KernelFacts, 'about' | 'readings'>
  ) {}

  /** How fast the user types and the server answers. */
  readonly pace = new Pace();

  /** Emits what the server is asked, as it is asked. */
  get asked(): ISignal<this, ICompletionRequest> {
    return this._asked;
  }

  /** What is asked at a place: as the user types, or because he wants it. */
  body(
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

  /** What a command asks: for more than what typing asks. */
  order(
    request: CompletionHandler.IRequest,
    widget: Widget
  ): ICompletionRequest {
    const body = this.body(request, widget, false);
    const tokens = Math.max(body.max_new_tokens, ORDERED_TOKENS);
    return this._next({ ...body, mode: 'block', max_new_tokens: tokens });
  }

  /** All that a reply depends on but for the text that is being edited. */
  around(widget: Widget): string {
    return `${surroundings(widget)} ${this._facts.readings(widget)}`;
  }

  /** The reply to a body, for its place. */
  ask(body: ICompletionRequest, place: IPlace, widget: Widget): Reply {
    this._asked.emit(body);
    this._others.abort();
    const { meanwhile } = this._settings.choices;
    const next = this._next({ ...body, meanwhile });
    const reply = this._reply(body, place, widget, (signal, ...told) =>
      this._watched(signal, () => this._api.complete(next, signal, ...told))
    );
    void this._time(reply);
    return reply;
  }

  /**
   * The reply to what would be asked at a place that the user may come to. Nobody waits for it: the server lets
   * all else go first, or refuses, and the watch isn't told.
   */
  ahead(place: IPlace, widget: Widget): Reply {
    const request = requestAt(place, activeEditor(widget)?.model.mimeType);
    const body = this._next(this.body(request, widget, true));
    body.prefetch = true;
    return this._reply(body, place, widget, (signal, onText) =>
      this._api.complete(body, signal, onText)
    );
  }

  /** The reply that a command's own way to ask makes. */
  run(place: IPlace, widget: Widget, run: Run): Reply {
    const watched: Run = async (...args) => {
      this._watch.asked();
      try {
        return await run(...args);
      } finally {
        this._watch.ended();
      }
    };
    return new Reply(
      place,
      this.around(widget),
      indentedRun(watched, place, indentUnit(widget)),
      askedNow({
        trigger: 'invoke',
        mode: 'block',
        language: activeLanguage(widget)
      })
    );
  }

  /** Other completions for a place, none if they can't be had. */
  async others(
    request: CompletionHandler.IRequest,
    widget: Widget,
    n: number
  ): Promise<ICompletion[]> {
    const body = this._next(this.body(request, widget, false));
    body.temperature = Math.max(body.temperature, OTHERS_TEMPERATURE);
    this._asked.emit(body);
    this._others.abort();
    const { signal } = (this._others = new AbortController());
    try {
      const others = await this._watched(signal, () =>
        this._api.candidates(body, n, signal)
      );
      const place = requestPlace(widget, request);
      return others.map(other => ({
        ...other,
        text: indentedAs(other.text, place, indentUnit(widget))
      }));
    } catch {
      // The watch tells what is wrong with the server.
      return [];
    }
  }

  /** The body as the newest request of its client: the server passes over those that come late. */
  private _next(body: ICompletionRequest): ICompletionRequest {
    return { ...body, sequence: ++this._sequence };
  }

  /** The reply for a place that `complete` makes, which knows why where it says nothing. */
  private _reply(
    body: ICompletionRequest,
    place: IPlace,
    widget: Widget,
    complete: (
      signal: AbortSignal,
      onText: (text: string) => void,
      onMeanwhile: (made: ICompletion) => void
    ) => Promise<ICompletion>
  ): Reply {
    // Those that are of no use to the text that is accepted stay out.
    const note = ({ imports }: ICompletion) => {
      reply.imports = [...new Set([...reply.imports, ...(imports ?? [])])];
    };
    const run: Run = async (signal, onText, onMeanwhile) => {
      const made = await complete(signal, onText, other => {
        note(other);
        onMeanwhile(other.text);
      });
      note(made);
      reply.reason = made.reason ?? '';
      return made.text;
    };
    const reply: Reply = new Reply(
      place,
      this.around(widget),
      indentedRun(run, place, indentUnit(widget)),
      askedNow(body)
    );
    return reply;
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

  private _asked = new Signal<this, ICompletionRequest>(this);
  private _others = new AbortController();
  private readonly _tab = UUID.uuid4();
  private _sequence = 0;
}
