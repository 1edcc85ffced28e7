/**
 * Import statements that a text needs, put in where a reader looks for them: after
 * the imports that its cell or file begins with, or at the beginning.
 */

/** What goes in above, and where. */
export interface IAbove {
  at: number;
  text: string;
}

/** Those of the imports that the text before the cursor lacks. */
export function lacking(
  prefix: string,
  imports: readonly string[]
): readonly string[] {
  return imports.length > 0
    ? imports.filter(line => !`\n${prefix}`.includes(`\n${line}\n`))
    : imports;
}

/** What goes in above `text` when that comes to the cursor: the imports of what it names, or what was typed does. */
export function importsAbove(
  prefix: string,
  text: string,
  imports: readonly string[]
): IAbove | null {
  const lines = lacking(prefix, imports).filter(line =>
    isNamed(prefix + text, line)
  );
  return lines.length > 0
    ? { at: importPlace(prefix), text: `${lines.join('\n')}\n` }
    : null;
}

/** The text before the cursor with what goes in there. */
export function withAbove(prefix: string, above: IAbove | null): string {
  return above
    ? prefix.slice(0, above.at) + above.text + prefix.slice(above.at)
    : prefix;
}

/** Where an import goes in a text that ends at the cursor: always a line's beginning. */
export function importPlace(prefix: string): number {
  let at = 0;
  let hasImports = false;
  let hasComments = false;
  let next = 0;
  while (next < prefix.length) {
    HEAD.lastIndex = next;
    const line = HEAD.exec(prefix)?.groups;
    if (!line) {
      break;
    }
    next = HEAD.lastIndex;
    hasImports ||= line.import !== undefined;
    // Comments that code follows at once are that code's.
    const isOver = line.blank !== undefined && hasComments;
    if (line.import || (!hasImports && (line.first || line.doc || isOver))) {
      at = next;
    }
    hasComments = line.comment !== undefined;
  }
  return at;
}

/** The next of the whole lines that may stand before code: an import, what must be first, a comment, a blank line. */
const HEAD = new RegExp(
  [
    /(?<import>(?:import|from)\b(?:[^\n(\\]|\([^)]*\)|\\\n)*\n)/,
    /(?<first>(?:[%!]|#!|#\||#[ ]?%%|#.*coding[:=])[^\n]*\n)/,
    /(?<doc>[rRuU]?(?:"""[^]*?"""|'''[^]*?''')[ \t]*\n)/,
    /(?<comment>#[^\n]*\n)/,
    /(?<blank>[ \t]*\n)/
  ]
    .map(({ source }) => source)
    .join('|'),
  'y'
);

/** Whether a text names what a line imports. */
function isNamed(text: string, line: string): boolean {
  const name =
    /(?:\bas\s+|^import\s+|\bimport\s+)([\p{L}_][\p{L}\p{N}_]*)[.\p{L}\p{N}_]*$/u.exec(
      line
    )?.[1];
  return (
    name !== undefined &&
    new RegExp(`(?<![\\p{L}\\p{N}_.])${name}(?![\\p{L}\\p{N}_])`, 'u').test(
      text
    )
  );
}
