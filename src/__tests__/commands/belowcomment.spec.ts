import { belowComment } from '../../commands/belowcomment';

/** The text with «lead» put in, for a cursor | or a selection between two; comments begin with #. */
function filled(marked: string): string | null {
  const text = marked.replace(/\|/g, '');
  const from = marked.indexOf('|');
  const to = Math.max(from, marked.lastIndexOf('|') - 1);
  const target = belowComment(text, from, to, index => {
    const line = text.lastIndexOf('\n', index - 1) + 1;
    const mark = text.indexOf('#', line);
    return mark >= 0 && mark <= index;
  });
  return (
    target &&
    `${text.slice(0, target.at)}«${target.lead}»${text.slice(target.at)}`
  );
}

describe('belowComment', () => {
  it.each([
    ['below the comment at the cursor', 'x\n# a|b\ny', 'x\n# ab«\n»\ny'],
    ['below all of it', '|# a\n  # b\nx # c', '# a\n  # b«\n  »\nx # c'],
    ['with its indentation', 'if x:\n\t# a|', 'if x:\n\t# a«\n\t»'],
    ['behind code', 'def f(): # a|\n', 'def f(): # a«\n»\n'],
    ['on the blank line', '  # a\n\n  |\nx', '  # a\n\n  «»\nx'],
    ['indented first', '  # a\n |', '  # a\n «x»'.replace('x', ' ')],
    ['a deeper line stays', '# a\n    |', '# a\n    «»'],
    ['of CR LF', '# a|\r\nx', '# a\r«\n»\nx'],
    ['the last selected', '|# a\nx\n# b\n|# c', '# a\nx\n# b«\n»\n# c'],
    ['selected with code', '# a\n|x # b\ny|', '# a\nx # b«\n»\ny']
  ])('%s', (_, marked, expected) => {
    expect(filled(marked)).toBe(expected);
  });

  it.each([
    ['none', 'x = 1|'],
    ['nothing', '|'],
    ['code between', '# a\nx\n|'],
    ['none selected', '# a\n|x\ny|\n# b'],
    ['a selection that ends before one', '|x\n|# a']
  ])('null: %s', (_, marked) => {
    expect(filled(marked)).toBeNull();
  });
});
