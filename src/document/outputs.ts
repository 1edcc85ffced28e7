import type { ICodeCellModel } from '@jupyterlab/cells';

import type { IOutput } from '../server/protocol';
import { wholeEnd } from './clip';

const MAX_OUTPUTS = 8;
const MAX_TEXT = 400;

const ANSI = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, 'g');
/** A frame of IPython's traceback that is a cell's, with the cell's execution count. */
const CELL_FRAME = /^\s*(?:Cell|Input) In ?\[(\d+)\]/;
const FILE_FRAME = /^\s*File /;
const ARROW = /^-+>\s*\d+\s?(.*)$/;
const NEVER_RAN = ['IndentationError', 'SyntaxError', 'TabError'];

/** The errors among a cell's outputs and, if wanted, the text that it showed. */
export function cellOutputs(
  { executionCount, outputs }: ICodeCellModel,
  withText: boolean
): IOutput[] {
  const found: IOutput[] = [];
  for (
    let i = Math.max(0, outputs.length - MAX_OUTPUTS);
    i < outputs.length;
    i++
  ) {
    const output = outputs.get(i);
    if (output.type === 'error') {
      found.push(failure(output.toJSON() as unknown as IError, executionCount));
    } else if (withText) {
      const text = output.streamText?.text ?? plainText(output.toJSON().data);
      if (text) {
        found.push({ type: 'text', text: short(text) });
      }
    }
  }
  return found;
}

interface IError {
  ename: string;
  evalue: string;
  traceback: string[];
}

function failure(error: IError, count: number | null): IOutput {
  const name = short(error.ename);
  const value = short(error.evalue);
  const line = short(raisingLine(error, count));
  return { type: 'error', name, value, ...(line && { line }) };
}

/** The line of the cell itself that raised the error, "" where the traceback doesn't show it. */
function raisingLine(
  { ename, traceback }: IError,
  count: number | null
): string {
  let line = '';
  let isOwn = false;
  let isNext = false;
  for (const text of traceback.join('\n').replace(ANSI, '').split('\n')) {
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

function plainText(data: unknown): string {
  const text = (data as Record<string, unknown> | undefined)?.['text/plain'];
  return Array.isArray(text) ? text.join('') : String(text ?? '');
}

function short(text: string): string {
  // Colours take room too; a text of megabytes isn't searched for them.
  const plain = text.slice(0, 10 * MAX_TEXT).replace(ANSI, '');
  return wholeEnd(plain.slice(0, MAX_TEXT));
}
