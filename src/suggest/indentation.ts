import type { Run } from './reply';

/** Columns of a level where nothing tells. */
const WIDTH = 4;

type Around = { prefix: string; suffix: string };

/**
 * A suggestion with its lines indented as those around the cursor are, by tabs or by
 * spaces; `unit` is what the editor indents by, for a text without an indented line.
 */
export function indentedAs(
  suggestion: string,
  { prefix, suffix }: Around,
  unit: string
): string {
  const before = prefix.slice(prefix.lastIndexOf('\n') + 1);
  const begin = before.trim() === '' ? /(^|\n)([ \t]+)/g : /(\n)([ \t]+)/g;
  const [from, to] = usesTabs({ prefix, suffix }, unit)
    ? [' '.repeat(levelOf(suggestion, begin)), '\t']
    : [
        '\t',
        unit.trim() === '' && !unit.includes('\t') ? unit : ' '.repeat(WIDTH)
      ];
  return suggestion.replace(
    begin,
    (_, line: string, blanks: string) => line + blanks.replaceAll(from, to)
  );
}

/** The same of all that a run tells. */
export function indentedRun(run: Run, around: Around, unit: string): Run {
  const as = (text: string) => indentedAs(text, around, unit);
  return async (signal, onText, onMeanwhile) => {
    const text = await run(
      signal,
      // More blanks may come.
      text => onText(as(text.replace(/(^|\n)[ \t]*$/, ''))),
      text => onMeanwhile(as(text))
    );
    return as(text);
  };
}

/** As the nearest indented line has it, the one above first. */
function usesTabs({ prefix, suffix }: Around, unit: string): boolean {
  const above = `\n${prefix}`;
  const tab = above.lastIndexOf('\n\t');
  const space = above.lastIndexOf('\n ');
  if (tab !== space) {
    return tab > space;
  }
  const below = /\n[ \t]/.exec(suffix)?.[0];
  return below ? below === '\n\t' : unit === '\t';
}

/** How many spaces a level of a suggestion has, as its first indented line tells. */
function levelOf(suggestion: string, begin: RegExp): number {
  const [first] = suggestion.match(begin) ?? [''];
  return first.replace('\n', '').length % WIDTH === 2 ? 2 : WIDTH;
}
