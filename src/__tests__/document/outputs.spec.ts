import type { ICodeCellModel } from '@jupyterlab/cells';

import { cellOutputs } from '../../document/outputs';

const ESC = String.fromCharCode(27);

/** A code cell that ran as number 3 and left these outputs. */
function cell(...outputs: object[]): ICodeCellModel {
  const models = outputs.map(output => ({
    type: (output as { output_type: string }).output_type,
    streamText: 'text' in output ? { text: output.text } : undefined,
    toJSON: () => output
  }));
  return {
    executionCount: 3,
    outputs: { length: models.length, get: (i: number) => models[i] }
  } as unknown as ICodeCellModel;
}

function error(ename: string, evalue: string, ...traceback: string[]) {
  return { output_type: 'error', ename, evalue, traceback };
}

describe('cellOutputs', () => {
  it('has an error with the line of its own cell', () => {
    const raised = error(
      'KeyError',
      "'b'",
      `${ESC}[91mKeyError${ESC}[39m   Traceback (most recent call last)`,
      `${ESC}[96mCell${ESC}[39m${ESC}[96m ${ESC}[39m${ESC}[32mIn[3]${ESC}[39m, line 2\n${ESC}[92m      1${ESC}[39m a = 1\n${ESC}[92m----> ${ESC}[39m${ESC}[92m2${ESC}[39m   ${ESC}[30;43mf${ESC}[39;49m({})\n      3 b = 2\n`,
      "Cell In[2], line 2, in f(x)\n      1 def f(x):\n----> 2     return x['b']\n",
      'File ~/lib/json/decoder.py:337, in decode(s)\n--> 337 obj = s\n',
      "KeyError: 'b'"
    );
    expect(cellOutputs(cell(raised), false)).toEqual([
      { type: 'error', name: 'KeyError', value: "'b'", line: 'f({})' }
    ]);
  });

  it('has the line that is no Python', () => {
    const raised = error(
      'SyntaxError',
      'invalid syntax',
      '  Cell In[3], line 2\n    y = = 2\n        ^\nSyntaxError: invalid syntax\n'
    );
    expect(cellOutputs(cell(raised), false)).toMatchObject([
      { line: 'y = = 2' }
    ]);
  });

  it('does without a line where there is none', () => {
    const raised = error('Error', 'object not found', 'Traceback:');
    expect(cellOutputs(cell(raised), false)).toEqual([
      { type: 'error', name: 'Error', value: 'object not found' }
    ]);
    const other = error('E', '', 'Cell In[2], line 1\n----> 1 f()');
    expect(cellOutputs(cell(other), false)[0]).not.toHaveProperty('line');
  });

  it('has short texts only where they are wanted', () => {
    const outputs = cell(
      { output_type: 'stream', text: `${ESC}[1ma${ESC}[0m\n` },
      {
        output_type: 'execute_result',
        data: { 'text/plain': ['4', '2'], 'text/html': 'x' }
      },
      { output_type: 'display_data', data: { 'image/png': 'iVBO' } }
    );
    expect(cellOutputs(outputs, false)).toEqual([]);
    expect(cellOutputs(outputs, true)).toEqual([
      { type: 'text', text: 'a\n' },
      { type: 'text', text: '42' }
    ]);
  });

  it('cuts five megabytes, and no character in two', () => {
    const text = 'a' + '🎅'.repeat(2_500_000);
    const many = Array.from({ length: 20 }, () => ({
      output_type: 'stream',
      text
    }));
    const found = cellOutputs(cell(...many), true);
    expect(found).toHaveLength(8);
    const [{ text: short }] = found as { text: string }[];
    expect(short).toHaveLength(399);
    expect(() => encodeURI(short)).not.toThrow();
  });
});
