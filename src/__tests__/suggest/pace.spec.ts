import {
  LONGEST,
  Pace,
  quantile,
  SHORTEST,
  waitAfterKey
} from '../../suggest/pace';

const GAPS = [90, 110, 120, 130, 140, 150, 160, 180, 200, 400];

describe('waitAfterKey', () => {
  it('outlasts nearly all gaps between keys', () => {
    expect(waitAfterKey(GAPS, [300])).toBe(200);
  });

  it('waits longer for a server that is slow', () => {
    expect(waitAfterKey(GAPS, [1200])).toBe(300);
  });

  it('hardly waits for one that answers between two keys', () => {
    expect(waitAfterKey(GAPS, [70])).toBe(70);
    expect(waitAfterKey(GAPS, [71])).toBe(200);
  });

  it('stays within bounds', () => {
    expect(waitAfterKey(GAPS, [1])).toBe(SHORTEST);
    expect(waitAfterKey(GAPS, [60_000])).toBe(LONGEST);
    expect(waitAfterKey(Array(20).fill(10), [40])).toBe(SHORTEST);
  });

  it('takes the usual while little is known', () => {
    expect(waitAfterKey([], [])).toBe(200);
    expect(waitAfterKey([10, 10], [])).toBe(200);
    expect(waitAfterKey([], [30])).toBe(30);
  });
});

describe('Pace', () => {
  it('lets a burst pass, then asks', () => {
    const pace = new Pace();
    [900, 950, 1000, 980, 990].forEach(time => pace.answered(time));
    let asked = 0;
    let now = 0;
    for (let key = 0; key < 100; key++) {
      const gap = 100 + (key % 7) * 10;
      asked += key > 10 && gap > pace.wait ? 1 : 0;
      now += gap;
      pace.typed(now);
    }
    expect(asked).toBe(0);
    expect(pace.wait).toBeLessThan(LONGEST);
  });

  it('takes a rest for no gap', () => {
    const pace = new Pace();
    for (let now = 0; now < 10 * LONGEST; now += LONGEST) {
      pace.typed(now);
    }
    expect(pace.wait).toBe(new Pace().wait);
  });

  it('follows a server that has become slow, or fast', () => {
    const pace = new Pace();
    const hear = (time: number) => {
      for (let i = 0; i < 3; i++) {
        pace.answered(time);
      }
    };
    hear(2000);
    expect(pace.wait).toBe(500);
    hear(30);
    expect(pace.wait).toBe(30);
  });
});

test('quantile takes a value that is there', () => {
  expect([0, 0.5, 0.9, 1].map(q => quantile([3, 1, 2], q))).toEqual([
    1, 2, 3, 3
  ]);
});
