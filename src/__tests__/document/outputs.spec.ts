import type { ICodeCellModel } from '@jupyterlab/cells';

import { cellOutputs as told, hasFailed } from '../../document/outputs';

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

const cellOutputs = (model: ICodeCellModel, text: boolean) =>
  told(model, { text, line: true });

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

  it('looks at no more than the ends of a traceback, and only for its line', () => {
    const own = (text: string) => `Cell In[3], line 1\n----> 1 ${text}`;
    const library = Array.from(
      { length: 10_000 },
      () => `File ~/lib/x.py:7, in f(x)\n--> 7 ${'y'.repeat(100)}`
    );
    for (const traceback of [
      [own('f()'), ...library],
      [...library, own('f()')]
    ]) {
      const failed = cell(error('E', '', ...traceback));
      expect(cellOutputs(failed, false)).toMatchObject([{ line: 'f()' }]);
      expect(told(failed, { text: false, line: false })).toEqual([
        { type: 'error', name: 'E', value: '' }
      ]);
      expect(hasFailed(failed)).toBe(true);
    }
    const stream = { output_type: 'stream', text: 'x' };
    expect(hasFailed(cell(stream))).toBe(false);
  });

  it('copies the traceback of another cell once', () => {
    const failed = cell(error('E', 'value'));
    const toJSON = jest.spyOn(failed.outputs.get(0), 'toJSON');
    for (let key = 0; key < 10; key++) {
      expect(told(failed, { text: true, line: false })).toHaveLength(1);
    }
    expect(toJSON).toHaveBeenCalledTimes(1);
  });
});
