import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { ICompletionRequest } from '../../src/server/protocol';

type Body = ICompletionRequest & { n?: number; stream?: boolean };

/** Answers completions in the page, at the edge to the server: what the model says is known then. */
export interface IEngine {
  /** Else completions go to the server. */
  isOn: boolean;
  /** The requests that there were, oldest first. */
  asked: Body[];
  /** What would follow a suggestion is answered too; else it is refused, as by a server with other work. */
  isAhead: boolean;
  /** None of that is answered then. */
  isHolding: boolean;
  /** What was asked ahead, and whether it was ended. */
  ahead: { source: string; isEnded: boolean }[];
  /** What stands at the end of the text before the cursor, and what comes there; several for `n`. */
  script: [string, ...string[]][];
  /** The same for what another model suggests at once. */
  meanwhile: [string, string][];
  /** Statements that have to run before an answer. */
  imports: string[];
  /** Makes an answer where the script has none. */
  invent: ((prefix: string, suffix: string) => string) | null;
  /** Characters in a piece of an answer, and milliseconds before each piece. */
  size: number;
  delay: number;
}

declare global {
  interface Window {
    engine: IEngine;
  }
}

/** Has the scripted engine answer in this page until the test ends. */
export async function useEngine(
  page: IJupyterLabPageFixture,
  engine: Partial<Omit<IEngine, 'invent'>> = {}
): Promise<void> {
  await page.evaluate(engine => {
    Object.assign(window.engine, {
      isOn: true,
      isAhead: false,
      isHolding: false,
      asked: [],
      ahead: [],
      script: [],
      meanwhile: [],
      imports: [],
      invent: null,
      size: 1000,
      delay: 10,
      ...engine
    });
  }, engine);
}

/** How many completions were asked for. */
export function asked(page: IJupyterLabPageFixture): Promise<number> {
  return page.evaluate(() => window.engine.asked.length);
}

/** Runs in each page as it begins, so it holds all that it needs. */
export function installEngine(): void {
  const all = (window.engine = { isOn: false } as IEngine);
  const around = ({ cells, active, offset }: Body): [string, string] => {
    const source = [...cells[active].source];
    return [source.slice(0, offset).join(''), source.slice(offset).join('')];
  };
  const texts = (body: Body): string[] => {
    const [prefix, suffix] = around(body);
    const { n = 1 } = body;
    const line = all.script.find(([end]) => prefix.endsWith(end));
    return line
      ? line.slice(n === 1 ? 1 : 2, n + 2)
      : Array.from(
          { length: n },
          (_, at) => all.invent?.(prefix, suffix + '#'.repeat(at)) ?? ''
        );
  };
  const pause = (signal: AbortSignal, isHeld = false) =>
    new Promise<void>((resolve, reject) => {
      if (!isHeld) {
        setTimeout(resolve, all.delay);
      }
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  const early = (body: Body): string => {
    const [prefix] = around(body);
    const line = all.meanwhile.find(([end]) => prefix.endsWith(end));
    return body.meanwhile && !body.prefetch && line ? line[1] : '';
  };
  const stream = (
    text: string,
    other: string,
    signal: AbortSignal,
    isHeld: boolean
  ) => {
    const encoder = new TextEncoder();
    const event = (data: object, kind = '') =>
      encoder.encode(`${kind}data: ${JSON.stringify(data)}\n\n`);
    return new ReadableStream({
      async start(controller) {
        try {
          if (other) {
            const suggested = { text: other, imports: [] };
            controller.enqueue(event(suggested, 'event: meanwhile\n'));
          }
          if (!text) {
            await pause(signal, isHeld);
          }
          for (let at = 0; at < text.length; at += all.size) {
            await pause(signal, isHeld);
            const piece = text.slice(at, at + all.size);
            controller.enqueue(event({ index: 0, text: piece }));
          }
          controller.enqueue(
            event({
              items: [
                {
                  text,
                  reason: text ? null : 'unlikely',
                  imports: all.imports
                }
              ]
            })
          );
          controller.close();
        } catch (error) {
          controller.error(error);
        }
      }
    });
  };
  const real = window.fetch.bind(window);
  window.fetch = async (input, init) => {
    const request = new Request(input, init);
    if (!all.isOn || !/santajupyter\/complete/.test(request.url)) {
      return real(request);
    }
    const body = (await request.json()) as Body;
    if (!body.prefetch) {
      all.asked.push(body);
    } else if (!all.isAhead) {
      return Response.json({ reason: 'queue-full' }, { status: 429 });
    } else {
      const ahead = { source: body.cells[body.active].source, isEnded: false };
      all.ahead.push(ahead);
      request.signal.addEventListener('abort', () => (ahead.isEnded = true));
    }
    if (body.stream) {
      const headers = { 'Content-Type': 'text/event-stream' };
      const isHeld = body.prefetch === true && all.isHolding;
      const [text] = texts(body);
      const events = stream(text, early(body), request.signal, isHeld);
      return new Response(events, { headers });
    }
    await pause(request.signal);
    return Response.json({ items: texts(body).map(text => ({ text })) });
  };
}
