import { indentedAs, indentedRun } from '../../suggest/indentation';

const FOUR = '    ';
const at = (prefix: string, suffix = '') => ({ prefix, suffix });
const BLOCK = '\n    if x:\n        return x';

describe('indentedAs', () => {
  it.each([
    ['tabs above', at('def f():\n\tpass\ndef g():'), FOUR],
    ['tabs below', at('def g():', '\n\ndef f():\n\tpass'), FOUR],
    ['a tab before the cursor', at('\tdef g():'), FOUR],
    ['tabs nearer than spaces', at('a\n    b\nc\n\td\ne:'), FOUR],
    ['an editor with tabs', at('def g():'), '\t']
  ])('takes tabs: %s', (_, place, unit) => {
    const made = indentedAs(BLOCK, place, unit);
    expect(made).toBe('\n\tif x:\n\t\treturn x');
  });

  it.each([
    ['spaces above', at('def f():\n    pass\ndef g():'), '\t'],
    ['nothing to tell', at('def g():'), FOUR]
  ])('takes spaces: %s', (_, place, unit) => {
    expect(indentedAs('\n\tif x:\n\t\treturn x', place, unit)).toBe(BLOCK);
    expect(indentedAs(BLOCK, place, unit)).toBe(BLOCK);
  });

  it('takes levels of two spaces for one tab each', () => {
    const made = indentedAs(
      '\n  if (x) {\n    y();\n  }',
      at('a\n\tb\n'),
      FOUR
    );
    expect(made).toBe('\n\tif (x) {\n\t\ty();\n\t}');
  });

  it('leaves blanks within a line', () => {
    const place = at('\tx = ');
    expect(indentedAs("f('    ')  # \t", place, FOUR)).toBe("f('    ')  # \t");
    expect(indentedAs('    1', place, FOUR)).toBe('    1');
  });

  it('indents the first line where it begins there', () => {
    expect(indentedAs('    return 1', at('\ta\n'), FOUR)).toBe('\treturn 1');
  });
});

it('what is told of a run only grows', async () => {
  const told: string[] = [];
  const text = '\n    if x:\n      \n        return x';
  const made = await indentedRun(
    async (_, onText) => {
      for (let end = 1; end <= text.length; end++) {
        onText(text.slice(0, end));
      }
      return text;
    },
    at('a:\n\tb\nc:'),
    FOUR
  )(
    new AbortController().signal,
    text => told.push(text),
    () => undefined
  );
  for (const [number, part] of told.entries()) {
    expect((told[number + 1] ?? made).startsWith(part)).toBe(true);
  }
  expect(made.endsWith('\n\t\treturn x')).toBe(true);
});
