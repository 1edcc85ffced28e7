import type { ICodeCellModel } from '@jupyterlab/cells';

import type { IOutput } from '../server/protocol';
import { wholeEnd } from './notes';

const MAX_OUTPUTS = 8;
const MAX_TEXT = 400;
/** Characters that are looked at of a text: colours take room too. */
const MAX_LOOK = 10 * MAX_TEXT;
/** Characters that are looked at of a traceback's beginning, and of its end. */
const MAX_FRAMES = 10_000;

const ANSI = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, 'g');
/** A frame of IPython's traceback that is a cell's, with the cell's execution count. */
const CELL_FRAME = /^\s*(?:Cell|Input) In ?\[(\d+)\]/;
const FILE_FRAME = /^\s*File /;
const ARROW = /^-+>\s*\d+\s?(.*)$/;
const NEVER_RAN = ['IndentationError', 'SyntaxError', 'TabError'];

/** What is told of a cell's outputs: `text` that it showed, and the `line` that raised its error. */
export interface ITelling {
  text: boolean;
  line: boolean;
}

/** Whether a cell's last run ended with an error. */
export function hasFailed({ outputs }: ICodeCellModel): boolean {
  return newest(outputs).some(({ type }) => type === 'error');
}

/** The errors among a cell's outputs and, if wanted, the text that it showed. */
export function cellOutputs(
  { executionCount, outputs }: ICodeCellModel,
  telling: ITelling
): IOutput[] {
  const found: IOutput[] = [];
  for (const output of newest(outputs)) {
    if (output.type === 'error') {
      found.push(failure(output, telling.line ? executionCount : null));
    } else if (telling.text) {
      const text = short(output.streamText?.text ?? plainText(output));
      if (text) {
        found.push({ type: 'text', text });
      }
    }
  }
  return found;
}

type IOutputs = ICodeCellModel['outputs'];
type IOutputModel = ReturnType<IOutputs['get']>;

interface IError {
  ename: string;
  evalue: string;
  traceback: string[];
}

/** An error's name and message don't change, and its traceback may be long to copy. */
const failures = new WeakMap<IOutputModel, IOutput>();

function newest(outputs: IOutputs): IOutputModel[] {
  const first = Math.max(0, outputs.length - MAX_OUTPUTS);
  return Array.from({ length: outputs.length - first }, (_, i) =>
    outputs.get(first + i)
  );
}

/** An error, with the line that raised it where the cell's `count` is given. */
function failure(output: IOutputModel, count: number | null): IOutput {
  let known = failures.get(output);
  if (!known || count !== null) {
    const error = output.toJSON() as unknown as IError;
    const line = count === null ? '' : short(raisingLine(error, count));
    const [name, value] = [short(error.ename), short(error.evalue)];
    known = { type: 'error', name, value };
    failures.set(output, known);
    return { ...known, ...(line && { line }) };
  }
  return known;
}

/** The line of the cell itself that raised the error, "" where the traceback doesn't show it. */
function raisingLine({ ename, traceback }: IError, count: number): string {
  let line = '';
  let isOwn = false;
  let isNext = false;
  for (const text of framesOf(traceback)) {
    const frame = CELL_FRAME.exec(text);
    if (frame || FILE_FRAME.test(text)) {
      isOwn = frame !== null && Number(frame[1]) === count;
      isNext = isOwn && NEVER_RAN.includes(ename);
    } else if (isOwn) {
      line = isNext ? text : (ARROW.exec(text)?.[1] ?? line);
      isNext = false;
    }
  }
  return line.trim();
}

/** A traceback's first lines and its last. */
function framesOf(traceback: string[]): string[] {
  const first = joined(traceback, MAX_FRAMES);
  const last = traceback.slice(first.count).reverse();
  const end = joined(last, MAX_FRAMES).texts.reverse();
  return [...first.texts, ...end].join('\n').replace(ANSI, '').split('\n');
}

/** As many of the texts as `most` characters have room for, the last one cut. */
function joined(
  texts: string[],
  most: number
): { texts: string[]; count: number } {
  const found: string[] = [];
  let room = most;
  for (const text of texts) {
    if (room <= 0) {
      break;
    }
    found.push(text.slice(0, room));
    room -= text.length + 1;
  }
  return { texts: found, count: found.length };
}

function plainText(output: IOutputModel): string {
  const data = output.toJSON().data as Record<string, unknown> | undefined;
  const text = data?.['text/plain'];
  return Array.isArray(text)
    ? joined(text, MAX_LOOK).texts.join('')
    : String(text ?? '');
}

function short(text: string): string {
  const plain = text.slice(0, MAX_LOOK).replace(ANSI, '');
  return wholeEnd(plain.slice(0, MAX_TEXT));
}
