/**
 * @jest-environment node
 *
 * What the frontend sends of notebooks; clip.py compares what the model gets of it. See README.md.
 */
import { readFileSync, writeFileSync } from 'node:fs';

import type { ICellModel } from '@jupyterlab/cells';

import { cellsAround } from '../src/document/cells';

/** Files of one JSON text a line: notebooks with cursors, and where what is sent goes. */
const { PLACES = '', SENT = '' } = process.env;

interface INotebook {
  cells: { type: string; source: string }[];
  cursors: [active: number, offset: number][];
}

(PLACES ? it : it.skip)('writes what is sent', () => {
  const lines = readFileSync(PLACES, 'utf8').trim().split('\n');
  const sent = lines.flatMap(line => {
    const { cells, cursors } = JSON.parse(line) as INotebook;
    const models = cells.map(({ type, source }) => {
      const outputs = { length: 0 };
      return { type, sharedModel: { getSource: () => source }, outputs };
    }) as unknown as ICellModel[];
    const get = (number: number) => models[number];
    return cursors.map(([active, offset]) => {
      const request = { text: cells[active].source, offset };
      const at = { length: cells.length, active, get };
      return JSON.stringify(cellsAround(at, request, false));
    });
  });
  writeFileSync(SENT, sent.join('\n'));
});
