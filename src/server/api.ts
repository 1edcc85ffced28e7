import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import {
  type ICompletion,
  type ICompletionRequest,
  type IDocumentation,
  type IFix,
  type IStatus,
  ServerError
} from './protocol';

/** Milliseconds in which a server that is there says how it is. */
const STATUS_LIMIT = 10_000;
/** Milliseconds without a sign after which an answer is given up: JupyterLab waits no longer either. */
const LIMIT = 15_000;
/** A block that is asked for may have to wait until a model is loaded. */
const BLOCK_LIMIT = 120_000;

/** The only place that knows the server's URLs. */
export class SantaApi {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  /**
   * What to insert at the cursor. `onText` gets the whole text so far each time it
   * grows; what is returned is what counts. `onMeanwhile` gets what another model suggests before.
   */
  async complete(
    request: ICompletionRequest,
    signal: AbortSignal,
    onText: (text: string) => void,
    onMeanwhile: (made: ICompletion) => void = () => undefined
  ): Promise<ICompletion> {
    const { mode, trigger } = request;
    const isBlock = mode === 'block' && trigger === 'invoke';
    return limited(
      signal,
      isBlock ? BLOCK_LIMIT : LIMIT,
      async (signal, goesOn) => {
        const response = await this._fetch('complete', {
          method: 'POST',
          body: JSON.stringify({ ...request, stream: true }),
          signal
        });
        goesOn();
        return isJson(response)
          ? firstItem(await response.json())
          : readStream(
              response,
              text => {
                goesOn();
                onText(text);
              },
              made => {
                goesOn();
                onMeanwhile(made);
              }
            );
      }
    );
  }

  /** Several completions to choose from, in the server's order. */
  async candidates(
    request: ICompletionRequest,
    n: number,
    signal: AbortSignal
  ): Promise<ICompletion[]> {
    return limited(signal, LIMIT, async signal => {
      const response = await this._fetch('complete', {
        method: 'POST',
        body: JSON.stringify({ ...request, n }),
        signal
      });
      const reply = (await response.json()) as IReply;
      return reply.items ?? [];
    });
  }

  /** Documentation for the function around the cursor. */
  async docstring(
    request: ICompletionRequest,
    signal: AbortSignal
  ): Promise<IDocumentation> {
    return limited(signal, BLOCK_LIMIT, async signal => {
      const response = await this._fetch('docstring', {
        method: 'POST',
        body: JSON.stringify(request),
        signal
      });
      return (await response.json()) as IDocumentation;
    });
  }

  /** What mends the error of the active cell. */
  async fix(request: ICompletionRequest, signal: AbortSignal): Promise<IFix> {
    return limited(signal, LIMIT, async signal => {
      const response = await this._fetch('fix', {
        method: 'POST',
        body: JSON.stringify(request),
        signal
      });
      return (await response.json()) as IFix;
    });
  }

  /** Has the model read what a completion there would need; generates nothing. */
  async warm(request: ICompletionRequest, signal: AbortSignal): Promise<void> {
    await this._fetch('warm', {
      method: 'POST',
      body: JSON.stringify(request),
      signal
    });
  }

  status(): Promise<IStatus> {
    const signal = AbortSignal.timeout(STATUS_LIMIT);
    return this._json('status', { method: 'GET', signal });
  }

  load(model?: string): Promise<IStatus> {
    return this._post('load', model ? { model } : {});
  }

  unload(): Promise<IStatus> {
    return this._post('unload', {});
  }

  private _post(route: string, body: object): Promise<IStatus> {
    return this._json(route, { method: 'POST', body: JSON.stringify(body) });
  }

  private async _json(route: string, init: RequestInit): Promise<IStatus> {
    const response = await this._fetch(route, init);
    const status = (await response.json()) as Partial<IStatus> | null;
    if (typeof status?.state !== 'string') {
      throw notOurs();
    }
    return status as IStatus;
  }

  private async _fetch(route: string, init: RequestInit): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, 'santajupyter', route);
    const response = await ServerConnection.makeRequest(
      url,
      init,
      this._settings
    );
    if (!response.ok) {
      throw await refusal(response);
    }
    if (isPage(response)) {
      throw notOurs();
    }
    return response;
  }
}

interface IReply {
  items?: ICompletion[];
  message?: string;
  reason?: string;
  text?: string;
  index?: number;
}

function isJson(response: Response): boolean {
  const type = response.headers.get('Content-Type') ?? '';
  return type.startsWith('application/json') || response.body === null;
}

/** Whether a proxy, or a form to log in, answers instead of the server. */
function isPage(response: Response): boolean {
  return (response.headers.get('Content-Type') ?? '').startsWith('text/html');
}

/** Ends `use` at the signal, or where it hasn't said for `limit` milliseconds that it goes on. */
async function limited<T>(
  signal: AbortSignal,
  limit: number,
  use: (signal: AbortSignal, goesOn: () => void) => Promise<T>
): Promise<T> {
  const controller = new AbortController();
  const abort = () => controller.abort();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const goesOn = () => {
    clearTimeout(timer);
    timer = setTimeout(abort, limit);
  };
  if (signal.aborted) {
    abort();
  }
  signal.addEventListener('abort', abort);
  goesOn();
  try {
    return await use(controller.signal, goesOn);
  } catch (error) {
    if (controller.signal.aborted && !signal.aborted) {
      throw new ServerError(504, 'silent', 'The server does not answer.');
    }
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

async function readStream(
  response: Response,
  onText: (text: string) => void,
  onMeanwhile: (made: ICompletion) => void
): Promise<ICompletion> {
  const events: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: event => events.push(event) });
  const decoder = new TextDecoder();
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let text = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const chunk = done
        ? decoder.decode()
        : decoder.decode(value, { stream: true });
      parser.feed(chunk);
      for (const event of events.splice(0)) {
        if (event.event === 'meanwhile') {
          onMeanwhile(JSON.parse(event.data) as ICompletion);
          continue;
        }
        const reply = readEvent(event);
        if (reply.items) {
          return firstItem(reply);
        }
        if (reply.index === 0) {
          text += reply.text ?? '';
          onText(text);
        }
      }
      if (done) {
        throw new ServerError(
          502,
          'cut_off',
          'The server ended its answer early.'
        );
      }
    }
  } finally {
    // Nobody reads the rest; of a stream that has failed this fails too.
    reader.cancel().catch(() => undefined);
  }
}

/** What an event brings; nothing of one that only a newer server knows. */
function readEvent({ event, data }: EventSourceMessage): IReply {
  if (event && event !== 'message' && event !== 'error') {
    return {};
  }
  const reply = JSON.parse(data) as IReply;
  if (event === 'error') {
    const reason = reply.reason ?? '';
    const status = ['engine', 'internal'].includes(reason) ? 500 : 503;
    throw new ServerError(status, reason, reply.message ?? '');
  }
  return reply;
}

function firstItem(reply: IReply | null): ICompletion {
  if (!Array.isArray(reply?.items)) {
    throw notOurs();
  }
  return reply.items[0] ?? { text: '' };
}

function notOurs(): ServerError {
  return new ServerError(
    502,
    'page',
    'A page came instead of the answer; perhaps it asks to log in.'
  );
}

async function refusal(response: Response): Promise<ServerError> {
  let reply: IReply | null = null;
  try {
    reply = (await response.json()) as IReply | null;
  } catch {
    // A proxy's page, not our server's JSON: the status line has to do.
  }
  const retryAfter = Number(response.headers.get('Retry-After') ?? 0);
  return new ServerError(
    response.status,
    reply?.reason ?? '',
    reply?.message || response.statusText,
    Number.isFinite(retryAfter) ? retryAfter : 0
  );
}
