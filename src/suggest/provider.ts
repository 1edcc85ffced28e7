import {
  type CompletionHandler,
  type IInlineCompletionContext,
  type IInlineCompletionItem,
  type IInlineCompletionList,
  type IInlineCompletionProvider,
  InlineCompletionTriggerKind
} from '@jupyterlab/completer';
import type { JSONValue } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

import { activeEditor } from '../document/context';
import { santaIcon } from '../icon';
import { PROVIDER_ID } from '../jupyterlab/ghosts';
import type { Completers, TextChange } from '../jupyterlab/internals';
import type { Settings } from '../settings';
import type { Session } from './session';

/** JupyterLab's way to our ghost text. */
export class SantaProvider implements IInlineCompletionProvider {
  constructor(
    private readonly _session: Session,
    private readonly _settings: Settings,
    private readonly _completers: Completers
  ) {}

  readonly name = 'SantaJupyter';
  readonly identifier = PROVIDER_ID;
  readonly icon = santaIcon;

  /**
   * JupyterLab must not wait after a key: the session has to hear of each one to end
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

  /** Hears from JupyterLab what its own settings say of us. */
  configure(settings: { [property: string]: JSONValue } | undefined): void {
    this._settings.isProviderOn = settings?.enabled !== false;
  }

  async fetch(
    request: CompletionHandler.IRequest,
    { widget, triggerKind }: IInlineCompletionContext
  ): Promise<IInlineCompletionList> {
    const isAutomatic = triggerKind === InlineCompletionTriggerKind.Automatic;
    const trigger = isAutomatic ? 'automatic' : 'invoke';
    return { items: await this._session.suggest(request, widget, trigger) };
  }

  /**
   * Someone else changed the text there: JupyterLab drops what it waits for then, so
   * what the user waits for is waited for here.
   */
  othersChanged(widget: Widget, change: TextChange): void {
    this._session.shift(widget, change);
    // The editor takes the change in before this.
    queueMicrotask(() => {
      if (this._session.follow(widget)) {
        const waiting: IInlineCompletionProvider = {
          name: this.name,
          identifier: this.identifier,
          icon: this.icon,
          schema: this.schema,
          fetch: async () => ({ items: await this._session.again() }),
          stream: token => this.stream(token)
        };
        this._ask(waiting, widget, InlineCompletionTriggerKind.Invoke);
      }
    });
  }

  /** Shows what we, and no other provider, have to say where the cursor is; `isAsked`: the user wants it. */
  show(widget: Widget, isAsked: boolean): void {
    const trigger = isAsked
      ? InlineCompletionTriggerKind.Invoke
      : InlineCompletionTriggerKind.Automatic;
    this._ask(this, widget, trigger);
  }

  /** The whole text to show, each time more of it is there. */
  async *stream(
    token: string
  ): AsyncGenerator<{ response: IInlineCompletionItem }> {
    for await (const response of this._session.stream(token)) {
      yield { response };
    }
  }

  private _ask(
    provider: IInlineCompletionProvider,
    widget: Widget,
    trigger: InlineCompletionTriggerKind
  ): void {
    for (const completer of this._completers.of(activeEditor(widget))) {
      void completer.ask(provider, widget, trigger);
    }
  }
}
