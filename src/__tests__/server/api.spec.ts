/** @jest-environment node */
import { ServerConnection } from '@jupyterlab/services';

import type { ICompletionRequest } from '../../server/protocol';
import { SantaApi } from '../../server/api';

const STREAM =
  ': a comment\n\n' +
  'event: heartbeat\ndata: soon\n\n' +
  'data: {"future":[1]}\n\n' +
  'data: {"index":0,"text":"🎅","future":1}\r\n\r\n' +
  'data: {"index":1,"text":"other"}\n\n' +
  'data: {"index":0,"text":"\\n"}\n\n';
const END = 'data: {"items":[{"text":"🎅!","future":1}],"future":1}\n\n';
const ERROR = 'event: error\ndata: {"message":"no","reason":"engine-died"}\n\n';

/** Answers with a stream that is cut in two, in bytes, at `cut`. */
function answer(text: string, cut: number): void {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.slice(0, cut));
      controller.enqueue(bytes.slice(cut));
      controller.close();
    }
  });
  const headers = { 'Content-Type': 'text/event-stream' };
  jest
    .spyOn(ServerConnection, 'makeRequest')
    .mockResolvedValue(new Response(body, { headers }));
}

async function complete(texts: string[]): Promise<string> {
  const api = new SantaApi({ baseUrl: '/' } as ServerConnection.ISettings);
  const signal = new AbortController().signal;
  const request = {} as ICompletionRequest;
  return (await api.complete(request, signal, text => texts.push(text))).text;
}

describe('SantaApi.complete', () => {
  it('reads the same text wherever the stream is cut', async () => {
    const length = new TextEncoder().encode(STREAM + END).length;
    for (let cut = 0; cut <= length; cut++) {
      const texts: string[] = [];
      answer(STREAM + END, cut);
      expect(await complete(texts)).toBe('🎅!');
      expect(texts).toEqual(['🎅', '🎅\n']);
    }
  });

  it('tells what another model suggests meanwhile', async () => {
    const event =
      'event: meanwhile\ndata: {"text":"🦌","imports":["import sleigh"]}\n\n';
    const length = new TextEncoder().encode(event + STREAM + END).length;
    const api = new SantaApi({ baseUrl: '/' } as ServerConnection.ISettings);
    const { signal } = new AbortController();
    for (let cut = 0; cut <= length; cut++) {
      const told: unknown[] = [];
      answer(event + STREAM + END, cut);
      const { text } = await api.complete(
        {} as ICompletionRequest,
        signal,
        text => told.push(text),
        made => told.push(made)
      );
      expect([...told, text]).toEqual([
        { text: '🦌', imports: ['import sleigh'] },
        '🎅',
        '🎅\n',
        '🎅!'
      ]);
    }
  });

  it('tells an error in mid-stream', async () => {
    answer(STREAM + ERROR, 9);
    await expect(complete([])).rejects.toMatchObject({
      status: 503,
      reason: 'engine-died',
      message: 'no'
    });
  });

  it('takes no text that is cut off for a whole one', async () => {
    for (const end of ['', END.trimEnd()]) {
      answer(STREAM + end, 9);
      await expect(complete([])).rejects.toMatchObject({ reason: 'cut_off' });
    }
  });

  it('takes no page for an answer', async () => {
    const headers = { 'Content-Type': 'text/html; charset=UTF-8' };
    jest
      .spyOn(ServerConnection, 'makeRequest')
      .mockResolvedValue(new Response('<form>Password</form>', { headers }));
    await expect(complete([])).rejects.toMatchObject({ reason: 'page' });
  });

  it.each(['null', '{"login":"/hub"}', '[]', '"no"'])(
    'takes no JSON of others for an answer: %s',
    async text => {
      const answered = () => {
        const headers = { 'Content-Type': 'application/json' };
        return Promise.resolve(new Response(text, { headers }));
      };
      jest.spyOn(ServerConnection, 'makeRequest').mockImplementation(answered);
      await expect(complete([])).rejects.toMatchObject({ reason: 'page' });
      const api = new SantaApi({ baseUrl: '/' } as ServerConnection.ISettings);
      await expect(api.status()).rejects.toMatchObject({ reason: 'page' });
    }
  );

  it('gives a silent server up, and stops reading', async () => {
    jest.useFakeTimers();
    const headers = { 'Content-Type': 'text/event-stream' };
    jest.spyOn(ServerConnection, 'makeRequest').mockImplementation(
      async (_url, { signal }) =>
        new Response(
          new ReadableStream({
            start: controller =>
              signal?.addEventListener('abort', () =>
                controller.error(new Error('aborted'))
              )
          }),
          { headers }
        )
    );
    const answered = expect(complete([])).rejects.toMatchObject({
      status: 504
    });
    await jest.advanceTimersByTimeAsync(15_000);
    await answered;
    jest.useRealTimers();
  });

  it('stops reading an answer that it has', async () => {
    const cancel = jest.fn();
    const bytes = new TextEncoder().encode(END);
    const body = new ReadableStream({
      start: controller => controller.enqueue(bytes),
      cancel
    });
    const headers = { 'Content-Type': 'text/event-stream' };
    jest
      .spyOn(ServerConnection, 'makeRequest')
      .mockResolvedValue(new Response(body, { headers }));
    expect(await complete([])).toBe('🎅!');
    expect(cancel).toHaveBeenCalled();
  });
});
