/** How much of a ghost is accepted at once. */
export type Part = 'whole' | 'word' | 'line';

/** The beginning of a suggestion that one key accepts. */
export function beginning(text: string, part: Part): string {
  return part === 'whole' ? text : (RULES[part].exec(text)?.[0] ?? text);
}

const RULES = {
  /** With the space before it: a name or number, or else signs up to the next of those. */
  word: /^\s*(?:[\p{L}\p{N}_][\p{L}\p{M}\p{N}_]*|[^\s\p{L}\p{N}_]+)/u,
  /** The rest of the line; at a line's end the next one that isn't blank. */
  line: /^(?:[^\S\n]*\n)*[^\n]+/
};
