/** Where code goes: at an index into the text, behind what leads to its line. */
export interface ITarget {
  at: number;
  lead: string;
}

/**
 * Where the code goes that a comment asks for: the last comment in the selection,
 * or the one at the cursor or right above it; null where there is none. `isComment`
 * tells whether the character at an index is part of a comment.
 */
export function belowComment(
  source: string,
  from: number,
  to: number,
  isComment: (index: number) => boolean
): ITarget | null {
  const lines = source.split('\n');
  const starts = startsOf(lines);
  const end = (n: number) => starts[n] + lines[n].length;
  const lineAt = (index: number) => lines.findIndex((_, n) => index <= end(n));
  const indent = (n: number) => /^\s*/.exec(lines[n])?.[0] ?? '';
  const isBlank = (n: number) => lines[n].trim() === '';
  const endsInOne = (n: number) =>
    !isBlank(n) && isComment(starts[n] + lines[n].trimEnd().length - 1);
  const isWhollyOne = (n: number) =>
    endsInOne(n) && isComment(starts[n] + indent(n).length);

  const isSelected = from < to;
  const first = isSelected ? lineAt(from) : 0;
  // What is selected up to a line's beginning has nothing of that line.
  const last = lineAt(isSelected ? to - 1 : to);
  let n = last;
  while (n >= first && (isSelected ? !endsInOne(n) : isBlank(n))) {
    n--;
  }
  if (n < first || !endsInOne(n)) {
    return null;
  }
  if (!isSelected && n < last) {
    // The cursor's own blank line is the one to fill.
    const here = lines[last];
    const lead = indent(n).startsWith(here) ? indent(n).slice(here.length) : '';
    return { at: end(last), lead };
  }
  while (!isSelected && n + 1 < lines.length && isWhollyOne(n + 1)) {
    n++;
  }
  // Behind code the model finds the indentation, which may be deeper.
  return { at: end(n), lead: '\n' + (isWhollyOne(n) ? indent(n) : '') };
}

function startsOf(lines: string[]): number[] {
  let start = 0;
  return lines.map(line => {
    const own = start;
    start += line.length + 1;
    return own;
  });
}
