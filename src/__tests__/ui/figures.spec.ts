import type { IAsked, IGhostItem } from '../../jupyterlab/ghosts';
import type { IOutcome } from '../../server/events';
import { Figures } from '../../ui/figures';

const MINUTE = 60_000;

const ghost = (
  insertText: string,
  asked: IAsked | null = null
): IGhostItem => ({
  insertText,
  suggestion: {
    asked,
    imports: [],
    follow: () => true,
    goTo: () => undefined,
    rest: () => insertText
  }
});

function setUp() {
  const clock = { now: 1000 * MINUTE };
  const figures = new Figures(() => clock.now);
  const changed = jest.fn();
  figures.changed.connect(changed);
  return { changed, clock, figures };
}

describe('Figures', () => {
  it('counts what was shown and accepted, and keeps the last text', () => {
    const { changed, figures } = setUp();
    figures.shown(ghost('plt.show()'));
    figures.accepted('ge(10)');
    figures.shown(ghost('plt.show()'));
    expect(figures.total).toEqual({ shown: 2, accepted: 1 });
    expect(figures.lastAccepted).toBe('ge(10)');
    expect(changed).toHaveBeenCalledTimes(3);
  });

  it('counts a suggestion once that is accepted word by word', () => {
    const { changed, figures } = setUp();
    figures.shown(ghost('plt.show()'));
    figures.accepted('plt');
    figures.accepted('.show');
    expect(figures.total).toEqual({ shown: 1, accepted: 1 });
    expect(figures.lastAccepted).toBe('plt.show');
    expect(changed).toHaveBeenCalledTimes(3);
    figures.shown(ghost('plt.show()'));
    figures.accepted('()');
    expect(figures.total.accepted).toBe(2);
    expect(figures.lastAccepted).toBe('()');
  });

  it('tells the last hour by five minutes, empty ones too', () => {
    const { clock, figures } = setUp();
    figures.shown(ghost('plt.show()'));
    clock.now += 10 * MINUTE;
    figures.shown(ghost('plt.show()'));
    figures.accepted('a');
    const none = { shown: 0, accepted: 0 };
    expect(figures.recent).toHaveLength(12);
    expect(figures.recent.slice(-3)).toEqual([
      { shown: 1, accepted: 0 },
      none,
      { shown: 1, accepted: 1 }
    ]);
    clock.now += 50 * MINUTE;
    expect(figures.recent[0]).toEqual(none);
    expect(figures.recent[1]).toEqual({ shown: 1, accepted: 1 });
    clock.now += 10 * MINUTE;
    figures.shown(ghost('plt.show()'));
    expect(figures.recent.slice(0, -1)).toEqual(Array(11).fill(none));
    expect(figures.total).toEqual({ shown: 3, accepted: 1 });
  });

  describe('without a text', () => {
    const HOW = { trigger: 'automatic', mode: 'auto', language: 'r' } as const;
    const asked = (): IAsked => ({ ...HOW, at: performance.now() });

    function heard(figures: Figures) {
      const outcomes: IOutcome[] = [];
      figures.happened.connect((_, outcome) => outcomes.push(outcome));
      return outcomes;
    }

    it('tells that a suggestion was shown and dismissed, once', () => {
      const { figures } = setUp();
      const outcomes = heard(figures);
      const one = ghost('x = 1\ny', { ...asked(), at: performance.now() - 80 });
      figures.shown(one);
      figures.gone({ ghost: one, milliseconds: 1234.5 });
      figures.gone({ ghost: one, milliseconds: 10 });
      const milliseconds = expect.any(Number) as number;
      const size = { characters: 7, lines: 2 };
      expect(outcomes).toEqual([
        { ...HOW, ...size, action: 'shown', milliseconds },
        { ...HOW, ...size, action: 'dismissed', milliseconds: 1235 }
      ]);
      expect(outcomes[0].milliseconds).toBeGreaterThanOrEqual(80);
    });

    it('tells of one that was accepted in parts when it is gone', () => {
      const { figures } = setUp();
      const outcomes = heard(figures);
      const one = ghost('plt.show()', asked());
      figures.shown(one);
      figures.accepted('plt');
      figures.accepted('.show');
      figures.gone({ ghost: ghost('()', asked()), milliseconds: 9 });
      expect(outcomes.slice(1)).toEqual([
        { ...HOW, action: 'accepted', characters: 8, lines: 1, milliseconds: 9 }
      ]);
    });

    it('takes what comes back and is accepted for a suggestion of its own', () => {
      const { figures } = setUp();
      const outcomes = heard(figures);
      const [one, two] = [ghost('one', asked()), ghost('two', asked())];
      figures.shown(one);
      figures.gone({ ghost: one, milliseconds: 1 });
      figures.shown(two);
      figures.accepted('two');
      figures.gone({ ghost: two, milliseconds: 1 });
      figures.accepted('one');
      figures.gone({ ghost: one, milliseconds: 1 });
      const actions = outcomes.map(({ action }) => action);
      const ends = ['dismissed', 'shown', 'accepted', 'accepted'];
      expect(actions).toEqual(['shown', ...ends]);
      expect(figures.total.accepted).toBe(2);
      expect(figures.lastAccepted).toBe('one');
    });

    it('tells nothing of one that the user typed to its end, or that nobody asked for', () => {
      const { figures } = setUp();
      const outcomes = heard(figures);
      const typed = ghost('', asked());
      figures.gone({ ghost: typed, milliseconds: 1 });
      figures.shown(ghost('text'));
      figures.gone({ ghost: ghost('text'), milliseconds: 1 });
      expect(outcomes).toEqual([]);
    });
  });
});
