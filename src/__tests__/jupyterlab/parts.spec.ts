import { beginning, type Part } from '../../jupyterlab/parts';

/** All that accepting again and again puts in, piece by piece. */
function pieces(text: string, part: Part): string[] {
  const all = [];
  for (let rest = text; rest !== ''; rest = rest.slice(all[0].length)) {
    all.unshift(beginning(rest, part));
  }
  return all.reverse();
}

describe('beginning', () => {
  it.each([
    [
      'df.groupby("a", b_1)',
      ['df', '.', 'groupby', '("', 'a', '",', ' b_1', ')']
    ],
    [' = 1.5', [' =', ' 1', '.', '5']],
    ['\n    return x', ['\n    return', ' x']],
    ['naïve 日本語 e\u0301t', ['naïve', ' 日本語', ' e\u0301t']],
    ['# 🎅🏽!', ['#', ' 🎅🏽!']],
    ['x  ', ['x', '  ']]
  ])('takes %j by words', (text, words) => {
    expect(pieces(text, 'word')).toEqual(words);
  });

  it.each([
    ['one', ['one']],
    ['one\n  two\n\nthree', ['one', '\n  two', '\n\nthree']],
    ['\n\n  one\n', ['\n\n  one', '\n']],
    ['  \n  one', ['  \n  one']]
  ])('takes %j by lines', (text, lines) => {
    expect(pieces(text, 'line')).toEqual(lines);
  });

  it('takes all of it', () => {
    expect(beginning('one two\nthree', 'whole')).toBe('one two\nthree');
  });
});
