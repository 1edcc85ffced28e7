import type { IInlineCompletionContext } from '@jupyterlab/completer';
import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { IPlace } from '../../document/types';
import type { SantaApi } from '../../server/api';
import type { Ghosts } from '../../jupyterlab/ghosts';
import { SantaProvider } from '../../suggest/provider';
import type { Settings } from '../../settings';

const editor = {
  place: { editor: 'e', prefix: '', suffix: '' } as IPlace,
  around: 'other cells',
  focus: true,
  composing: false,
  hasFocus: () => editor.focus
};

jest.mock('@jupyterlab/completer', () => ({
  InlineCompletionTriggerKind: { Invoke: 0, Automatic: 1 }
}));
jest.mock('../../icon', () => ({ santaIcon: null }));
jest.mock('../../document/where', () => ({ whereIs: () => 'here' }));
jest.mock('../../document/context', () => ({
  activeEditor: () => editor,
  currentPlace: () => editor.place,
  isComposing: () => editor.composing,
  currentRequest: () => ({ text: editor.place.prefix, offset: 0 }),
  requestPlace: () => editor.place,
  surroundings: () => editor.around,
  notebookContext: () => ({ cells: [] })
}));

type Answer = {
  signal: AbortSignal;
  say: (text: string) => void;
  end: (text: string) => void;
};

/** A provider whose requests are answered by hand. */
function setUp() {
  const asked: Answer[] = [];
  const candidates = jest.fn<Promise<string[]>, unknown[]>();
  const api = {
    candidates,
    complete: (
      _body: object,
      signal: AbortSignal,
      say: (text: string) => void
    ) => new Promise<string>(end => asked.push({ signal, say, end }))
  };
  const owner = {};
  const settings = {
    ready: Promise.resolve(),
    changed: new Signal(owner),
    choices: {
      automatic: true,
      delay: 1,
      markdown: false,
      temperature: 0,
      alternatives: 3
    },
    isProviderOn: true,
    refusal: jest.fn((): string | null => null)
  };
  const ghosts = { tidy: jest.fn(), dismiss: jest.fn() };
  const watch = {
    serving: 'santa-mini',
    mayAsk: () => true,
    asked: jest.fn(),
    answered: jest.fn(),
    failed: jest.fn(),
    ended: jest.fn()
  };
  const facts = {
    about: () => ({ variables: [{ name: 'n', type: 'int' }], classes: {} }),
    readings: () => 0,
    settled: jest.fn(() => Promise.resolve())
  };
  const provider = new SantaProvider(
    api as unknown as SantaApi,
    settings as unknown as Settings,
    ghosts as unknown as Ghosts,
    watch,
    facts
  );
  return { asked, candidates, facts, ghosts, provider, settings, watch };
}

/** As JupyterLab does it when the text has become `prefix`. */
function type(provider: SantaProvider, prefix: string, triggerKind = 1) {
  editor.place = { ...editor.place, prefix };
  const context = { widget: { id: 'w' }, triggerKind };
  return provider.fetch(
    { text: prefix, offset: 0 },
    context as IInlineCompletionContext
  );
}

/** Until all that waits a millisecond is done, however slow the machine. */
const pause = async () => {
  for (let turn = 0; turn < 4; turn++) {
    await new Promise(resolve => setTimeout(resolve, 2));
  }
};

describe('SantaProvider', () => {
  it('shows the first piece, then the whole text so far', async () => {
    const { asked, provider } = setUp();
    const list = type(provider, 'x = ');
    await pause();
    asked[0].say('[1');
    const [item] = (await list).items;
    expect(item).toMatchObject({ insertText: '[1', isIncomplete: true });
    const stream = provider.stream(item.token ?? '');
    await stream.next();
    asked[0].say('[1, 2');
    expect((await stream.next()).value.response.insertText).toBe('[1, 2');
    asked[0].end('[1, 2]');
    expect((await stream.next()).value.response).toEqual({
      insertText: '[1, 2]',
      isIncomplete: false
    });
    expect((await stream.next()).done).toBe(true);
  });

  it('takes the time to the first text', async () => {
    const { asked, provider } = setUp();
    const answered = jest.spyOn(provider.pace, 'answered');
    void type(provider, 'x = ');
    await pause();
    asked[0].end('');
    await pause();
    expect(answered).not.toHaveBeenCalled();
    void type(provider, 'y = ');
    await pause();
    asked[1].say('1');
    await pause();
    expect(answered).toHaveBeenCalledTimes(1);
    asked[1].end('1, 2');
    await pause();
    expect(answered).toHaveBeenCalledTimes(1);
  });

  it('answers typing through, and back, without a request', async () => {
    const { asked, provider } = setUp();
    const list = type(provider, 'x = ');
    await pause();
    asked[0].end('[1, 2]');
    await list;
    expect((await type(provider, 'x = [1')).items).toMatchObject([
      { insertText: ', 2]' }
    ]);
    expect((await type(provider, 'x = ')).items).toMatchObject([
      { insertText: '[1, 2]' }
    ]);
    expect(asked.length).toBe(1);
  });

  it('streams what is left when the user types while text comes', async () => {
    const { asked, provider } = setUp();
    const first = type(provider, 'x = ');
    await pause();
    asked[0].say('[1, 2');
    const old = provider.stream((await first).items[0].token ?? '');
    const [item] = (await type(provider, 'x = [1')).items;
    expect(item.insertText).toBe(', 2');
    const stream = provider.stream(item.token ?? '');
    await stream.next();
    asked[0].end('[1, 2]');
    expect((await stream.next()).value.response.insertText).toBe(', 2]');
    expect((await old.next()).done).toBe(true);
    expect(asked.length).toBe(1);
  });

  it('answers from before when the user comes again, if nothing else changed', async () => {
    const { asked, provider } = setUp();
    const list = type(provider, 'x = ');
    await pause();
    asked[0].end('[1, 2]');
    await list;
    editor.place = { ...editor.place, editor: 'f' };
    const elsewhere = type(provider, 'y = ');
    await pause();
    asked[1].end('3');
    await elsewhere;
    editor.place = { ...editor.place, editor: 'e' };
    expect((await type(provider, 'x = [')).items).toMatchObject([
      { insertText: '1, 2]' }
    ]);
    expect(asked.length).toBe(2);
    editor.around = 'another cell';
    void type(provider, 'x = [').catch(() => undefined);
    await pause();
    expect(asked.length).toBe(3);
    editor.around = 'other cells';
  });

  it('does not ask twice where there is nothing to say, unless the user does', async () => {
    const { asked, provider } = setUp();
    const list = type(provider, 'x = ');
    await pause();
    asked[0].end('');
    await list;
    expect((await type(provider, 'x = ')).items).toEqual([]);
    expect(asked.length).toBe(1);
    const invoked = type(provider, 'x = ', 0);
    await pause();
    asked[1].end('1');
    expect((await invoked).items).toMatchObject([{ insertText: '1' }]);
  });

  it('shows nothing unasked where the user has left', async () => {
    const { asked, provider } = setUp();
    let list = Promise.resolve({}) as ReturnType<typeof type>;
    provider.unasked(() => (list = type(provider, 'x = ', 0)));
    await pause();
    const hasFocus = jest.spyOn(editor, 'hasFocus').mockReturnValue(false);
    asked[0].end('1');
    await expect(list).rejects.toThrow();
    hasFocus.mockRestore();
  });

  it('asks for others only when told to, and answers from them too', async () => {
    const { asked, candidates, provider } = setUp();
    const widget = { id: 'w' } as Widget;
    const list = type(provider, 'x = ');
    await pause();
    expect(await provider.others(widget)).toEqual([]);
    asked[0].end('[1]');
    await list;
    candidates.mockResolvedValueOnce(['[2, 3]', '', '[1]', '[2, 3]']);
    expect(await provider.others(widget)).toMatchObject([
      { insertText: '[2, 3]' }
    ]);
    expect(candidates.mock.calls).toMatchObject([
      [{ temperature: 0.8 }, 3, {}]
    ]);
    expect((await type(provider, 'x = [')).items).toMatchObject([
      { insertText: '1]' },
      { insertText: '2, 3]' }
    ]);
    expect(asked.length).toBe(1);
  });

  it('has no others where the server fails', async () => {
    const { candidates, provider, watch } = setUp();
    editor.place = { ...editor.place, prefix: 'x = ' };
    candidates.mockRejectedValueOnce(new Error('no'));
    expect(await provider.others({ id: 'w' } as Widget)).toEqual([]);
    expect(watch.failed).toHaveBeenCalledTimes(1);
  });

  it('asks at once for what follows a suggestion that was accepted', async () => {
    const { asked, provider, settings } = setUp();
    const list = type(provider, 'x = ');
    await pause();
    asked[0].end('[1, 2]');
    await list;
    settings.choices.delay = 60_000;
    const next = type(provider, 'x = [1, 2]');
    await pause();
    expect(asked.length).toBe(2);
    asked[1].end('.pop()');
    expect((await next).items).toMatchObject([{ insertText: '.pop()' }]);
  });

  it('waits where nothing was accepted', async () => {
    const { asked, provider, settings } = setUp();
    const list = type(provider, 'x = ');
    await pause();
    asked[0].end('');
    await list;
    settings.choices.delay = 60_000;
    void type(provider, 'x = y');
    await pause();
    expect(asked.length).toBe(1);
  });

  it('ends the request before, and tells nothing of it', async () => {
    const { asked, provider, watch } = setUp();
    const first = type(provider, 'x = ');
    await pause();
    const second = type(provider, 'x = y');
    await expect(first).rejects.toThrow();
    await pause();
    expect(asked[0].signal.aborted).toBe(true);
    asked[0].say('[1, 2]');
    asked[1].end('es');
    expect((await second).items).toMatchObject([{ insertText: 'es' }]);
    expect(watch.answered).toHaveBeenCalledTimes(1);
    asked[0].end('');
    await pause();
    expect(watch.ended).toHaveBeenCalledTimes(2);
  });

  it('shows nothing where the cursor is no more', async () => {
    const { asked, ghosts, provider } = setUp();
    const list = type(provider, 'x = ');
    await pause();
    editor.place = { ...editor.place, prefix: 'x =', suffix: ' ' };
    asked[0].say('[1');
    await expect(list).rejects.toThrow();
    expect(asked[0].signal.aborted).toBe(true);
    editor.place.suffix = '';
    expect(ghosts.dismiss).not.toHaveBeenCalled();
  });

  it('takes back what the reply did not come to', async () => {
    const { asked, ghosts, provider } = setUp();
    const list = type(provider, 'x = ');
    await pause();
    asked[0].say('[1');
    const stream = provider.stream((await list).items[0].token ?? '');
    await stream.next();
    asked[0].end('');
    expect((await stream.next()).done).toBe(true);
    expect(ghosts.dismiss).toHaveBeenCalled();
  });

  it('asks only when it may', async () => {
    const { asked, provider, settings, watch } = setUp();
    settings.choices.automatic = false;
    expect((await type(provider, 'a')).items).toEqual([]);
    const list = type(provider, 'a', 0);
    await pause();
    asked[0].end('bc');
    expect((await list).items).toMatchObject([{ insertText: 'bc' }]);
    settings.refusal.mockReturnValueOnce('file');
    expect((await type(provider, 'b', 0)).items).toEqual([]);
    expect(settings.refusal).toHaveBeenLastCalledWith('here');
    watch.mayAsk = () => false;
    expect((await type(provider, 'c', 0)).items).toEqual([]);
    expect(asked.length).toBe(1);
  });

  it('leaves an editor without the focus alone', async () => {
    // Two views of a notebook: JupyterLab asks for both when the user types into one.
    const { asked, provider } = setUp();
    const list = type(provider, 'x = ');
    editor.focus = false;
    expect((await type(provider, 'x = ')).items).toEqual([]);
    editor.focus = true;
    await pause();
    expect(asked.length).toBe(1);
    asked[0].end('1');
    expect((await list).items).toMatchObject([{ insertText: '1' }]);
  });

  it('waits until an input method is done', async () => {
    const { asked, provider } = setUp();
    editor.composing = true;
    const first = type(provider, 'x = "に');
    await pause();
    const second = type(provider, 'x = "日');
    await expect(first).rejects.toThrow();
    expect(asked.length).toBe(0);
    editor.composing = false;
    await new Promise(resolve => setTimeout(resolve, 100));
    expect(asked.length).toBe(1);
    asked[0].end('本"');
    expect((await second).items).toMatchObject([{ insertText: '本"' }]);
  });

  it('says what it would ask, and whether it does', async () => {
    const { asked, facts, provider, settings } = setUp();
    const widget = { id: 'w' } as Widget;
    const told: object[] = [];
    provider.asked.connect((_, request) => told.push(request));
    const upcoming = await provider.upcoming(widget);
    expect(upcoming).toMatchObject({
      trigger: 'automatic',
      variables: [{ name: 'n' }]
    });
    expect(facts.settled).toHaveBeenCalledTimes(1);
    expect([asked.length, provider.isAsking]).toEqual([0, false]);
    const list = type(provider, 'x = ');
    await pause();
    expect(told).toEqual([upcoming]);
    expect(provider.isAsking).toBe(true);
    asked[0].end('1');
    await list;
    expect(provider.isAsking).toBe(false);
    settings.choices.automatic = false;
    expect(await provider.upcoming(widget)).toBeNull();
    settings.choices.automatic = true;
    provider.configure({ enabled: false });
    expect(settings.isProviderOn).toBe(false);
    provider.configure(undefined);
    expect(settings.isProviderOn).toBe(true);
  });

  it('knows where the cursor rests without an answer', async () => {
    // What the built-in model had nothing to say to was never asked of the one it stood in for.
    const { asked, provider } = setUp();
    const widget = { id: 'w' } as Widget;
    expect(provider.isUnanswered(widget)).toBe(false);
    const list = type(provider, 'x = ');
    await pause();
    expect(provider.isUnanswered(widget)).toBe(false);
    asked[0].end('');
    await list;
    expect(provider.isUnanswered(widget)).toBe(true);
    editor.place = { ...editor.place, prefix: 'y = ' };
    expect(provider.isUnanswered(widget)).toBe(false);
  });

  it('asks again once another model answers', async () => {
    const { asked, provider, watch } = setUp();
    const list = type(provider, 'x = ');
    await pause();
    asked[0].end('1');
    await list;
    watch.serving = 'bigcode/gpt_bigcode-santacoder';
    const again = type(provider, 'x = ');
    await pause();
    asked[1].end('2');
    expect((await again).items).toMatchObject([{ insertText: '2' }]);
  });
});
