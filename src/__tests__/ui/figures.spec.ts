import { Figures } from '../../ui/figures';

const MINUTE = 60_000;

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
    figures.shown();
    figures.accepted('ge(10)');
    figures.shown();
    expect(figures.total).toEqual({ shown: 2, accepted: 1 });
    expect(figures.lastAccepted).toBe('ge(10)');
    expect(changed).toHaveBeenCalledTimes(3);
  });

  it('counts a suggestion once that is accepted word by word', () => {
    const { changed, figures } = setUp();
    figures.shown();
    figures.accepted('plt');
    figures.accepted('.show');
    expect(figures.total).toEqual({ shown: 1, accepted: 1 });
    expect(figures.lastAccepted).toBe('plt.show');
    expect(changed).toHaveBeenCalledTimes(3);
    figures.shown();
    figures.accepted('()');
    expect(figures.total.accepted).toBe(2);
    expect(figures.lastAccepted).toBe('()');
  });

  it('tells the last hour by five minutes, empty ones too', () => {
    const { clock, figures } = setUp();
    figures.shown();
    clock.now += 10 * MINUTE;
    figures.shown();
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
    figures.shown();
    expect(figures.recent.slice(0, -1)).toEqual(Array(11).fill(none));
    expect(figures.total).toEqual({ shown: 3, accepted: 1 });
  });
});
