import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { IPlace } from '../../document/types';
import type { ICompletion, ICompletionRequest } from '../../server/protocol';
import type { SantaApi } from '../../server/api';
import type { Ghosts } from '../../jupyterlab/ghosts';
import { Session } from '../../suggest/session';
import type { Settings } from '../../settings';

const editor = {
  place: { editor: 'e', prefix: '', suffix: '' } as IPlace,
  around: 'other cells',
  ghost: '',
  seen: null as object | null,
  focus: true,
  composing: false,
  byOthers: false,
  commanding: false,
  model: { mimeType: 'text/x-python' },
  hasFocus: () => editor.focus
};

jest.mock('../../jupyterlab/internals', () => ({
  isCommanding: () => editor.commanding,
  isComposing: () => editor.composing,
  isOthersChange: () => editor.byOthers
}));
const metadata: { changed: () => void } = { changed: () => undefined };
jest.mock('../../document/where', () => ({
  whereIs: () => 'here',
  watchWhere: (_widget: Widget, changed: () => void) =>
    (metadata.changed = changed)
}));
jest.mock('../../document/context', () => ({
  activeEditor: () => editor,
  activeLanguage: () => 'python',
  currentPlace: () => editor.place,
  indentUnit: () => '    ',
  currentRequest: () => ({ text: editor.place.prefix, offset: 0 }),
  readAround: () => Promise.resolve(),
  requestPlace: () => editor.place,
  surroundings: () => editor.around,
  requestAt: (place: IPlace) => ({ text: place.prefix, offset: 0 }),
  notebookContext: (_widget: Widget, { text }: { text: string }) => ({
    cells: [{ source: text }]
  })
}));

type Answer = {
  body: ICompletionRequest;
  signal: AbortSignal;
  say: (text: string) => void;
  meanwhile: (made: ICompletion) => void;
  end: (text: string | Promise<string>, reason?: string) => void;
};

/** A session whose requests are answered by hand. */
function setUp() {
  const asked: Answer[] = [];
  const ahead: Answer[] = [];
  const candidates = jest.fn<Promise<ICompletion[]>, unknown[]>();
  const api = {
    candidates,
    complete: (
      body: ICompletionRequest,
      signal: AbortSignal,
      say: (text: string) => void,
      meanwhile: (made: ICompletion) => void
    ) =>
      new Promise<ICompletion>(resolve => {
        const end = (text: string | Promise<string>, reason?: string) =>
          resolve(Promise.resolve(text).then(text => ({ text, reason })));
        const answer = { body, signal, say, meanwhile, end };
        (body.prefetch ? ahead : asked).push(answer);
      })
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
      alternatives: 3,
      meanwhile: true
    },
    isProviderOn: true,
    refusal: jest.fn((): string | null => null)
  };
  const ghosts = {
    tidy: jest.fn(),
    end: jest.fn(),
    isCovered: jest.fn(() => false),
    ended: new Signal<object, void>(owner),
    in: () => ({ insertText: editor.ghost, suggestion: editor.seen })
  };
  const watch = {
    serving: 'santa-mini',
    isAbsent: false,
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
  const session = new Session(
    api as unknown as SantaApi,
    settings as unknown as Settings,
    ghosts as unknown as Ghosts,
    watch,
    facts
  );
  return { ahead, asked, candidates, facts, ghosts, session, settings, watch };
}

/** As JupyterLab does it when the text has become `prefix`. */
function type(
  session: Session,
  prefix: string,
  trigger: 'automatic' | 'invoke' = 'automatic'
) {
  editor.place = { ...editor.place, prefix };
  const widget = { id: 'w' } as Widget;
  return session.suggest({ text: prefix, offset: 0 }, widget, trigger);
}

/** Until all that waits a millisecond is done, however slow the machine. */
const pause = async () => {
  for (let turn = 0; turn < 4; turn++) {
    await new Promise(resolve => setTimeout(resolve, 2));
  }
};

describe('Session', () => {
  it('shows the first piece, then the whole text so far', async () => {
    const { asked, session } = setUp();
    const list = type(session, 'x = ');
    await pause();
    asked[0].say('[1');
    const [item] = await list;
    expect(item).toMatchObject({ insertText: '[1', isIncomplete: true });
    const stream = session.stream(item.token ?? '');
    await stream.next();
    asked[0].say('[1, 2');
    expect((await stream.next()).value.insertText).toBe('[1, 2');
    asked[0].end('[1, 2]');
    expect((await stream.next()).value).toEqual({
      insertText: '[1, 2]',
      isIncomplete: false
    });
    expect((await stream.next()).done).toBe(true);
  });

  it('takes the time to the first text', async () => {
    const { asked, session } = setUp();
    const answered = jest.spyOn(session.pace, 'answered');
    void type(session, 'x = ');
    await pause();
    asked[0].end('');
    await pause();
    expect(answered).not.toHaveBeenCalled();
    void type(session, 'y = ');
    await pause();
    asked[1].say('1');
    await pause();
    expect(answered).toHaveBeenCalledTimes(1);
    asked[1].end('1, 2');
    await pause();
    expect(answered).toHaveBeenCalledTimes(1);
  });

  describe('where another model answers meanwhile', () => {
    /** What is shown after `x = ` when it has said `[1, 2]`, as more comes. */
    async function begun() {
      const made = setUp();
      const list = type(made.session, 'x = ');
      await pause();
      const [answer] = made.asked;
      expect(answer.body.meanwhile).toBe(true);
      answer.meanwhile({ text: '[1, 2]', imports: ['import a'] });
      const [item] = await list;
      expect(item).toMatchObject({
        insertText: '[1, 2]',
        isIncomplete: true,
        suggestion: { imports: ['import a'] }
      });
      const stream = made.session.stream(item.token ?? '');
      await stream.next();
      return { ...made, answer, stream };
    }

    it('keeps that while they agree, and then has the better one', async () => {
      const { answer, stream } = await begun();
      answer.say('[1');
      const { value } = await stream.next();
      expect(value.insertText).toBe('[1, 2]');
      answer.say('[1, 3');
      expect((await stream.next()).value.insertText).toBe('[1, 3');
      answer.end('[1, 3, 5]');
      expect((await stream.next()).value).toEqual({
        insertText: '[1, 3, 5]',
        isIncomplete: false
      });
    });

    it.each(['[1]', '[1, 2][0]', '{}'])('ends with %s', async text => {
      const { answer, stream } = await begun();
      answer.end(text);
      expect((await stream.next()).value).toMatchObject({ insertText: text });
      expect((await stream.next()).done).toBe(true);
    });

    it('shows nothing where the better one has nothing to say', async () => {
      const { answer, ghosts, stream } = await begun();
      answer.end('', 'nothing');
      expect((await stream.next()).done).toBe(true);
      expect(ghosts.end).toHaveBeenCalled();
    });

    it('keeps it where the better one fails', async () => {
      const { answer, stream } = await begun();
      answer.end(Promise.reject(new Error('no')));
      expect((await stream.next()).value).toEqual({
        insertText: '[1, 2]',
        isIncomplete: false
      });
    });

    it('lets the user go on with it, whatever the better one says', async () => {
      const { answer, asked, session } = await begun();
      const [item] = await type(session, 'x = [1, ');
      expect(item.insertText).toBe('2]');
      const stream = session.stream(item.token ?? '');
      await stream.next();
      answer.say('{');
      expect((await stream.next()).value.insertText).toBe('2]');
      answer.end('{}');
      expect((await stream.next()).value).toEqual({
        insertText: '2]',
        isIncomplete: false
      });
      expect(await type(session, 'x = [1, 2')).toMatchObject([
        { insertText: ']' }
      ]);
      expect(await type(session, 'x = ')).toMatchObject([{ insertText: '{}' }]);
      expect(asked.length).toBe(1);
    });

    it.each(['', '[1', '[1, 2]', '[1, 2][0]'])(
      'asks for what follows it at once where there is %j',
      async text => {
        const { answer, asked, session, settings } = await begun();
        answer.say(text);
        await pause();
        settings.choices.delay = 60_000;
        const list = type(session, 'x = [1, 2]');
        await pause();
        if (text.startsWith('[1, 2]')) {
          answer.end('[1, 2][0]');
          expect(await list).toMatchObject([{ insertText: '[0]' }]);
          expect(asked.length).toBe(1);
        } else {
          expect(answer.signal.aborted).toBe(true);
          asked[1].end('.sort()');
          expect(await list).toMatchObject([{ insertText: '.sort()' }]);
        }
      }
    );

    it('tells the pace of the better one alone', async () => {
      const { answer, session, stream } = await begun();
      const answered = jest.spyOn(session.pace, 'answered');
      await pause();
      expect(answered).not.toHaveBeenCalled();
      answer.end('[]');
      await stream.next();
      await pause();
      expect(answered).toHaveBeenCalledTimes(1);
    });

    it('asks for none where the user wants none', async () => {
      const { asked, session, settings } = setUp();
      settings.choices.meanwhile = false;
      void type(session, 'x = ');
      await pause();
      expect(asked[0].body.meanwhile).toBe(false);
      asked[0].end('1');
    });
  });

  it('answers typing through, and back, without a request', async () => {
    const { asked, session } = setUp();
    const list = type(session, 'x = ');
    await pause();
    asked[0].end('[1, 2]');
    await list;
    expect(await type(session, 'x = [1')).toMatchObject([
      { insertText: ', 2]' }
    ]);
    expect(await type(session, 'x = ')).toMatchObject([
      { insertText: '[1, 2]' }
    ]);
    expect(asked.length).toBe(1);
  });

  it('streams what is left when the user types while text comes', async () => {
    const { asked, session } = setUp();
    const first = type(session, 'x = ');
    await pause();
    asked[0].say('[1, 2');
    const old = session.stream((await first)[0].token ?? '');
    const [item] = await type(session, 'x = [1');
    expect(item.insertText).toBe(', 2');
    const stream = session.stream(item.token ?? '');
    await stream.next();
    asked[0].end('[1, 2]');
    expect((await stream.next()).value.insertText).toBe(', 2]');
    expect((await old.next()).done).toBe(true);
    expect(asked.length).toBe(1);
  });

  it('answers from before when the user comes again, if nothing else changed', async () => {
    const { asked, session } = setUp();
    const list = type(session, 'x = ');
    await pause();
    asked[0].end('[1, 2]');
    await list;
    editor.place = { ...editor.place, editor: 'f' };
    const elsewhere = type(session, 'y = ');
    await pause();
    asked[1].end('3');
    await elsewhere;
    editor.place = { ...editor.place, editor: 'e' };
    expect(await type(session, 'x = [')).toMatchObject([
      { insertText: '1, 2]' }
    ]);
    expect(asked.length).toBe(2);
    editor.around = 'another cell';
    void type(session, 'x = [').catch(() => undefined);
    await pause();
    expect(asked.length).toBe(3);
    // The server passes over those that come late.
    const [first, second, third] = asked.map(({ body }) => body.sequence ?? 0);
    expect(second).toBeGreaterThan(first);
    expect(third).toBeGreaterThan(second);
    editor.around = 'other cells';
  });

  it('does not ask twice where there is nothing to say, unless the user does', async () => {
    const { asked, session } = setUp();
    const list = type(session, 'x = ');
    await pause();
    asked[0].end('');
    await list;
    expect(await type(session, 'x = ')).toEqual([]);
    expect(asked.length).toBe(1);
    const invoked = type(session, 'x = ', 'invoke');
    await pause();
    asked[1].end('1');
    expect(await invoked).toMatchObject([{ insertText: '1' }]);
  });

  it('asks for others only when told to, and answers from them too', async () => {
    const { asked, candidates, session } = setUp();
    const widget = { id: 'w' } as Widget;
    const list = type(session, 'x = ');
    await pause();
    expect(await session.others(widget)).toEqual([]);
    asked[0].end('[1]');
    await list;
    candidates.mockResolvedValueOnce([
      { text: '[2, 3]', imports: ['import a'] },
      { text: '' },
      { text: '[1]' }
    ]);
    expect(await session.others(widget)).toMatchObject([
      { insertText: '[2, 3]', suggestion: { imports: ['import a'] } }
    ]);
    expect(candidates.mock.calls).toMatchObject([
      [{ temperature: 0.8 }, 3, {}]
    ]);
    expect(await type(session, 'x = [')).toMatchObject([
      { insertText: '1]' },
      { insertText: '2, 3]' }
    ]);
    expect(asked.length).toBe(1);
  });

  it('has no others that merely close what one leaves open', async () => {
    const { asked, candidates, session } = setUp();
    const widget = { id: 'w' } as Widget;
    const list = type(session, 'df["');
    await pause();
    asked[0].end('sunk');
    await list;
    const texts = ['sunk"]', 'total"]', 'total', 'sunken', '")', '"]'];
    candidates.mockResolvedValueOnce(texts.map(text => ({ text })));
    const others = await session.others(widget);
    expect(others.map(({ insertText }) => insertText)).toEqual([
      'total"]',
      'sunken',
      '")',
      '"]'
    ]);
  });

  it('has no others where the server fails', async () => {
    const { candidates, session, watch } = setUp();
    editor.place = { ...editor.place, prefix: 'x = ' };
    candidates.mockRejectedValueOnce(new Error('no'));
    expect(await session.others({ id: 'w' } as Widget)).toEqual([]);
    expect(watch.failed).toHaveBeenCalledTimes(1);
  });

  it('asks at once for what follows a suggestion that was accepted', async () => {
    const { asked, session, settings } = setUp();
    const list = type(session, 'x = ');
    await pause();
    asked[0].end('[1, 2]');
    await list;
    settings.choices.delay = 60_000;
    const next = type(session, 'x = [1, 2]');
    await pause();
    expect(asked.length).toBe(2);
    asked[1].end('.pop()');
    expect(await next).toMatchObject([{ insertText: '.pop()' }]);
  });

  it('waits where nothing was accepted', async () => {
    const { asked, session, settings } = setUp();
    const list = type(session, 'x = ');
    await pause();
    asked[0].end('');
    await list;
    settings.choices.delay = 60_000;
    void type(session, 'x = y');
    await pause();
    expect(asked.length).toBe(1);
  });

  it('ends the request before, and tells nothing of it', async () => {
    const { asked, session, watch } = setUp();
    const first = type(session, 'x = ');
    await pause();
    const second = type(session, 'x = y');
    await expect(first).rejects.toThrow();
    await pause();
    expect(asked[0].signal.aborted).toBe(true);
    asked[0].say('[1, 2]');
    asked[1].end('es');
    expect(await second).toMatchObject([{ insertText: 'es' }]);
    expect(watch.answered).toHaveBeenCalledTimes(1);
    asked[0].end('');
    await pause();
    expect(watch.ended).toHaveBeenCalledTimes(2);
  });

  it('shows nothing where the cursor is no more', async () => {
    const { asked, ghosts, session } = setUp();
    const list = type(session, 'x = ');
    await pause();
    editor.place = { ...editor.place, prefix: 'x =', suffix: ' ' };
    asked[0].say('[1');
    await expect(list).rejects.toThrow();
    expect(asked[0].signal.aborted).toBe(true);
    editor.place.suffix = '';
    expect(ghosts.end).not.toHaveBeenCalled();
  });

  it('takes back what the reply did not come to', async () => {
    const { asked, ghosts, session } = setUp();
    const list = type(session, 'x = ');
    await pause();
    asked[0].say('[1');
    const stream = session.stream((await list)[0].token ?? '');
    await stream.next();
    asked[0].end('');
    expect((await stream.next()).done).toBe(true);
    expect(ghosts.end).toHaveBeenCalled();
  });

  it('asks only when it may', async () => {
    const { asked, session, settings, watch } = setUp();
    settings.choices.automatic = false;
    expect(await type(session, 'a')).toEqual([]);
    const list = type(session, 'a', 'invoke');
    await pause();
    asked[0].end('bc');
    expect(await list).toMatchObject([{ insertText: 'bc' }]);
    settings.refusal.mockReturnValueOnce('file');
    expect(await type(session, 'b', 'invoke')).toEqual([]);
    expect(settings.refusal).toHaveBeenLastCalledWith('here');
    watch.mayAsk = () => false;
    expect(await type(session, 'c', 'invoke')).toEqual([]);
    expect(asked.length).toBe(1);
  });

  it('leaves an editor without the focus alone', async () => {
    // Two views of a notebook: JupyterLab asks for both when the user types into one.
    const { asked, session } = setUp();
    const list = type(session, 'x = ');
    editor.focus = false;
    expect(await type(session, 'x = ')).toEqual([]);
    editor.focus = true;
    await pause();
    expect(asked.length).toBe(1);
    asked[0].end('1');
    expect(await list).toMatchObject([{ insertText: '1' }]);
  });

  it('waits until an input method is done', async () => {
    const { asked, session } = setUp();
    editor.composing = true;
    const first = type(session, 'x = "に');
    await pause();
    const second = type(session, 'x = "日');
    await expect(first).rejects.toThrow();
    expect(asked.length).toBe(0);
    editor.composing = false;
    await new Promise(resolve => setTimeout(resolve, 100));
    expect(asked.length).toBe(1);
    asked[0].end('本"');
    expect(await second).toMatchObject([{ insertText: '本"' }]);
  });

  it('says what it would ask, and whether it does', async () => {
    const { asked, facts, session, settings } = setUp();
    const widget = { id: 'w' } as Widget;
    const told: object[] = [];
    editor.place = { ...editor.place, prefix: 'x = ' };
    session.asked.connect((_, request) => told.push(request));
    const upcoming = await session.upcoming(widget);
    expect(upcoming).toMatchObject({
      trigger: 'automatic',
      variables: [{ name: 'n' }]
    });
    expect(facts.settled).toHaveBeenCalledTimes(1);
    expect([asked.length, session.isAsking]).toEqual([0, false]);
    const list = type(session, 'x = ');
    await pause();
    expect(told).toEqual([upcoming]);
    expect(session.isAsking).toBe(true);
    asked[0].end('1');
    await list;
    expect(session.isAsking).toBe(false);
    settings.choices.automatic = false;
    expect(await session.upcoming(widget)).toBeNull();
    settings.choices.automatic = true;
  });

  it('knows where the cursor rests without an answer', async () => {
    // What the built-in model had nothing to say to was never asked of the one it stood in for.
    const { asked, session } = setUp();
    const widget = { id: 'w' } as Widget;
    expect(session.isUnanswered(widget)).toBe(false);
    const list = type(session, 'x = ');
    await pause();
    expect(session.isUnanswered(widget)).toBe(false);
    asked[0].end('');
    await list;
    expect(session.isUnanswered(widget)).toBe(true);
    editor.place = { ...editor.place, prefix: 'y = ' };
    expect(session.isUnanswered(widget)).toBe(false);
  });

  it('asks again once another model answers', async () => {
    const { asked, session, watch } = setUp();
    const list = type(session, 'x = ');
    await pause();
    asked[0].end('1');
    await list;
    watch.serving = 'bigcode/gpt_bigcode-santacoder';
    const again = type(session, 'x = ');
    await pause();
    asked[1].end('2');
    expect(await again).toMatchObject([{ insertText: '2' }]);
  });

  it.each(['byOthers', 'commanding'] as const)(
    'asks for nothing where the change is %s',
    async what => {
      const { asked, session } = setUp();
      editor[what] = true;
      await type(session, 'x = ').catch(() => undefined);
      await pause();
      editor[what] = false;
      expect(asked.length).toBe(0);
    }
  );

  describe('where someone else changes the text', () => {
    const widget = { id: 'w' } as Widget;

    /** The text around `|`, the cursor. */
    const placeOf = (text: string): IPlace => {
      const [prefix, suffix] = text.split('|');
      return { editor: 'e', prefix, suffix };
    };

    /** What the user waits for: the call, and the one that JupyterLab makes of it then. */
    function wait(session: Session, text: string, trigger = 'automatic') {
      editor.place = placeOf(text);
      const request = { text, offset: 0 };
      return session.suggest(request, widget, trigger as 'automatic');
    }

    /** As JupyterLab does it when another user changes the text. */
    async function change(session: Session, text: string, at: number) {
      const { prefix, suffix } = editor.place;
      const next = placeOf(text);
      const length =
        (next.prefix + next.suffix).length - (prefix + suffix).length;
      const part =
        length < 0 ? { delete: -length } : { insert: '+'.repeat(length) };
      session.shift(widget, { sourceChange: [{ retain: at }, part] });
      editor.byOthers = true;
      const call = session.suggest({ text, offset: 0 }, widget, 'automatic');
      await expect(call).rejects.toThrow();
      editor.byOthers = false;
      editor.place = next;
      return session.follow(widget);
    }

    afterEach(() => {
      editor.place = { editor: 'e', prefix: '', suffix: '' };
    });

    it.each([
      ['a line comes above', 'a\nx = |', 'a\nbc\nx = |', 2],
      ['a line goes above', 'a\nbc\nx = |', 'a\nx = |', 2],
      ['a line comes below', 'x = |\n', 'x = |\nb\n', 5],
      ['a line comes above a blank one', 'a\n|', 'a\nbc\n|', 1],
      ['all above goes', 'abc\nx = |', 'x = |', 0]
    ])('shows what was asked when %s', async (_, from, to, at) => {
      for (const trigger of ['automatic', 'invoke']) {
        const { asked, session } = setUp();
        const first = wait(session, from, trigger);
        await pause();
        expect(await change(session, to, at)).toBe(true);
        const again = session.again();
        asked[0].end('1');
        await expect(first).rejects.toThrow();
        expect(await again).toMatchObject([{ insertText: '1' }]);
        expect(asked.length).toBe(1);
      }
    });

    it('asks yet where it was about to, for the text as it is by then', async () => {
      const { asked, session, settings } = setUp();
      settings.choices.delay = 20;
      void wait(session, 'x = |').catch(() => undefined);
      expect(await change(session, 'ab\nx = |', 0)).toBe(true);
      const again = session.again();
      while (asked.length === 0) {
        await pause();
      }
      expect(asked[0].body.cells).toMatchObject([{ source: 'ab\nx = ' }]);
      asked[0].end('1');
      expect(await again).toMatchObject([{ insertText: '1' }]);
    });

    it.each([['the user has gone elsewhere', '|\n\n', 'a\n\n\n|', 0, '\n\n|']])(
      'shows nothing where %s',
      async (_, from, to, at, gone) => {
        const { asked, session } = setUp();
        void wait(session, from).catch(() => undefined);
        await pause();
        editor.place = gone.length < to.length ? placeOf(gone) : editor.place;
        await change(session, to, at);
        const again = session.again();
        asked[0].end('1');
        await expect(again).rejects.toThrow();
      }
    );

    it('asks once more where the line is another one by then', async () => {
      const { asked, session } = setUp();
      void wait(session, 'x = |').catch(() => undefined);
      await pause();
      await change(session, 'yx = |', 0);
      const again = session.again();
      asked[0].end('1');
      await pause();
      expect(asked[1].body.cells).toMatchObject([{ source: 'yx = ' }]);
      asked[1].end('2');
      expect(await again).toMatchObject([{ insertText: '2' }]);
    });

    it('shows it still where the line is what it was in the end', async () => {
      const { asked, session } = setUp();
      void wait(session, 'x = |').catch(() => undefined);
      await pause();
      await change(session, 'yx = |', 0);
      await change(session, 'y\nx = |', 1);
      const again = session.again();
      asked[0].end('1');
      expect(await again).toMatchObject([{ insertText: '1' }]);
      expect(asked.length).toBe(1);
    });

    it('goes on with what the user sees while other cells change', async () => {
      const { asked, session } = setUp();
      const list = wait(session, 'x = |');
      await pause();
      asked[0].end('123');
      editor.seen = (await list)[0].suggestion;
      editor.around = 'another cell';
      expect(await wait(session, 'x = 1|')).toMatchObject([
        { insertText: '23' }
      ]);
      editor.seen = null;
      editor.around = 'other cells';
      expect(asked.length).toBe(1);
    });

    it('brings nothing back that was shown and dismissed', async () => {
      const { asked, session } = setUp();
      const list = wait(session, 'x = |');
      await pause();
      asked[0].end('1');
      await list;
      expect(await change(session, 'a\nx = |', 0)).toBe(false);
      await expect(session.again()).rejects.toThrow();
    });

    it('has other texts for where the cursor is by then', async () => {
      const { asked, candidates, session } = setUp();
      const list = wait(session, 'x = |');
      await pause();
      asked[0].end('1');
      const [{ suggestion }] = await list;
      let say: (made: ICompletion[]) => void = () => undefined;
      candidates.mockReturnValueOnce(new Promise(resolve => (say = resolve)));
      const others = session.others(widget);
      await change(session, 'a\nx = |', 0);
      suggestion.follow(editor.place);
      say([{ text: '1' }, { text: '2' }]);
      const [other] = await others;
      expect(other.insertText).toBe('2');
      expect(other.suggestion.rest(editor.place)).toBe('2');
    });
  });

  it('says why nothing is shown where the user asked', async () => {
    const { asked, session, settings, watch } = setUp();
    const told: unknown[] = [];
    session.answered.connect((_, silence) => told.push(silence));
    settings.refusal.mockReturnValue('tag');
    await type(session, 'a', 'invoke');
    settings.refusal.mockReturnValue(null);
    watch.mayAsk = () => false;
    watch.isAbsent = true;
    await type(session, 'a', 'invoke');
    watch.mayAsk = () => true;
    watch.isAbsent = false;
    const widget = { id: 'w' } as Widget;
    for (const reason of ['repeats-above', 'new', undefined]) {
      const list = type(session, 'b', 'invoke');
      await pause();
      asked.at(-1)?.end('', reason);
      await list;
      expect(session.why(widget)).toBe(told.at(-1));
    }
    const list = type(session, 'b', 'invoke');
    await pause();
    asked.at(-1)?.end('x');
    await list;
    expect(session.why(widget)).toBeNull();
    expect(told).toEqual([
      'tag',
      'absent',
      'repeats-above',
      'nothing',
      'nothing',
      null
    ]);
  });

  describe('while a suggestion is looked at', () => {
    /** A session that shows a text behind `x = `, and what it asks then. */
    async function shown(text = '1 + 1') {
      const all = setUp();
      const list = type(all.session, 'x = ');
      await pause();
      all.asked[0].end(text);
      await list;
      editor.ghost = text;
      await pause();
      return all;
    }

    afterEach(() => {
      editor.ghost = '';
      editor.around = 'other cells';
    });

    it('asks for what follows, and has it when it is accepted', async () => {
      const { ahead, asked, session, watch } = await shown();
      expect(ahead.map(({ body }) => body)).toMatchObject([
        {
          prefetch: true,
          trigger: 'automatic',
          cells: [{ source: 'x = 1 + 1' }]
        }
      ]);
      ahead[0].end(' + 1');
      expect(await type(session, 'x = 1 + 1')).toMatchObject([
        { insertText: ' + 1' }
      ]);
      expect(asked.length).toBe(1);
      expect(watch.asked).toHaveBeenCalledTimes(1);
    });

    it('waits for what is on its way when it is accepted', async () => {
      const { ahead, asked, session } = await shown();
      const next = type(session, 'x = 1 + 1');
      await pause();
      ahead[0].end(' + 1');
      expect(await next).toMatchObject([{ insertText: ' + 1' }]);
      expect(asked.length).toBe(1);
      expect(session.isAsking).toBe(false);
    });

    it('knows that nothing follows', async () => {
      const { ahead, asked, session } = await shown();
      ahead[0].end('');
      await pause();
      expect(await type(session, 'x = 1 + 1')).toEqual([]);
      await pause();
      expect(asked.length).toBe(1);
    });

    it('goes on while the user types what is shown', async () => {
      const { ahead, asked, session } = await shown();
      editor.ghost = ' + 1';
      await type(session, 'x = 1');
      await pause();
      expect(ahead.length).toBe(1);
      expect(ahead[0].signal.aborted).toBe(false);
      ahead[0].end(' + 1');
      expect(await type(session, 'x = 1 + 1')).toMatchObject([
        { insertText: ' + 1' }
      ]);
      expect(asked.length).toBe(1);
    });

    it('stops when something else is typed', async () => {
      const { ahead, asked, session } = await shown();
      void type(session, 'x = 2').catch(() => undefined);
      await pause();
      expect(ahead[0].signal.aborted).toBe(true);
      expect(asked.length).toBe(2);
    });

    it('stops when it is dismissed, and not when it is accepted', async () => {
      const { ahead, ghosts } = await shown();
      editor.place = { ...editor.place, prefix: 'x = 1 + 1' };
      ghosts.ended.emit();
      await pause();
      expect(ahead[0].signal.aborted).toBe(false);
      editor.place = { ...editor.place, prefix: 'x = ' };
      ghosts.ended.emit();
      await pause();
      expect(ahead[0].signal.aborted).toBe(true);
    });

    it('stops when the session ends it, or the settings change', async () => {
      for (const stop of [
        ({ session }: Awaited<ReturnType<typeof shown>>) =>
          session.end({ id: 'w' } as Widget),
        ({ settings }: Awaited<ReturnType<typeof shown>>) =>
          settings.changed.emit(undefined as never)
      ]) {
        const all = await shown();
        stop(all);
        expect(all.ahead[0].signal.aborted).toBe(true);
      }
    });

    it('asks where the prefetch failed', async () => {
      const { ahead, asked, session } = await shown();
      ahead[0].end(Promise.reject(new Error('busy')));
      await pause();
      void type(session, 'x = 1 + 1').catch(() => undefined);
      await pause();
      expect(asked.length).toBe(2);
    });

    it('shows nothing of it once another cell changed', async () => {
      const { ahead, asked, session } = await shown();
      ahead[0].end(' + 1');
      editor.around = 'another cell';
      void type(session, 'x = 1 + 1').catch(() => undefined);
      await pause();
      expect(asked.length).toBe(2);
    });

    it('asks nothing where typing may not, or nothing is shown', async () => {
      const manual = setUp();
      manual.settings.choices.automatic = false;
      const list = type(manual.session, 'x = ', 'invoke');
      await pause();
      manual.asked[0].end('1');
      await list;
      editor.ghost = '1';
      await pause();
      expect(manual.ahead).toEqual([]);
      const { ahead, session } = await shown('');
      expect(ahead).toEqual([]);
      const dismissed = setUp();
      editor.ghost = '';
      const other = type(dismissed.session, 'x = ');
      await pause();
      dismissed.asked[0].end('1');
      await other;
      await pause();
      expect(dismissed.ahead).toEqual([]);
      expect(session.isAsking).toBe(false);
    });
  });

  it('ends what is shown in a cell that is locked or excluded meanwhile', async () => {
    const { asked, ghosts, session, settings } = setUp();
    const list = type(session, 'x = ');
    await pause();
    asked[0].end('1');
    await list;
    ghosts.end.mockClear();
    metadata.changed();
    expect(ghosts.end).not.toHaveBeenCalled();
    settings.refusal.mockReturnValue('read-only');
    metadata.changed();
    expect(ghosts.end).toHaveBeenCalledTimes(1);
  });

  it("shows a command's text, whatever changed elsewhere while it was made", async () => {
    const { asked, session, watch } = setUp();
    const widget = { id: 'w' } as Widget;
    editor.place = { editor: 'e', prefix: 'x = ', suffix: '' };
    editor.seen = null;
    let end: (text: string) => void = () => undefined;
    const made = new Promise<string>(resolve => (end = resolve));
    const reply = session.begin(widget, editor.place, () => made);
    watch.serving = 'the model that it waits for';
    editor.around = 'other cells, changed';
    end('[1]');
    await pause();
    const moved = { ...editor.place, prefix: 'import os\nx = ' };
    expect(session.offer(reply, widget, moved)).toBe(true);
    const [item] = await type(session, moved.prefix, 'invoke');
    expect(item.insertText).toBe('[1]');
    expect(asked).toEqual([]);
    const other = { ...editor.place, prefix: 'y = ' };
    expect(session.offer(reply, widget, other)).toBe(false);
    editor.around = 'other cells';
  });
});
