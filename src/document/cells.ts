import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { CompletionHandler } from '@jupyterlab/completer';
import { Text } from '@jupyterlab/coreutils';

import type { ICell, INotebookContext, IOutput } from '../server/protocol';
import { clipped, type IPiece } from './clip';
import { cellOutputs } from './outputs';

/** Characters of outputs that are sent at most, besides the active cell's. */
const MAX_OUTPUTS = 8_000;

/** A document's cells by their numbers; the active one may have no model. */
export interface ICells {
  length: number;
  active: number;
  get(number: number): ICellModel | null;
  /** What has them, where a `version` is known: another text where anything but the active one's text changed. */
  notebook: object | null;
  version: string;
}

/** The cells around the cursor as the server gets them; `request` has the active one's text. */
export function cellsAround(
  { get, ...cells }: ICells,
  { text, offset }: CompletionHandler.IRequest,
  withText: boolean
): Pick<INotebookContext, 'cells' | 'active' | 'offset' | 'names'> {
  const cursor = Text.charIndexToJsIndex(offset, text);
  const clip = clipped({
    ...cells,
    left: text.slice(0, cursor),
    right: text.slice(cursor),
    get: number => get(number) as ICellModel
  });
  const source = clip.left + clip.right;
  const room = { left: MAX_OUTPUTS };
  const other = ({ number, text }: IPiece) =>
    told(get(number), text, model =>
      fitting(cellOutputs(model, { text: withText, line: false }), room)
    );
  // The nearest first.
  const above = clip.above.reverse().map(other).reverse();
  const below = clip.below.map(other);
  const current = told(get(cells.active), source, model =>
    cellOutputs(model, { text: withText, line: true })
  );
  return {
    cells: [...above, current, ...below],
    active: above.length,
    offset: Text.jsIndexToCharIndex(clip.left.length, source),
    ...(clip.names.length > 0 && { names: clip.names })
  };
}

export function cellType(type: string | undefined): ICell['type'] {
  return type === 'markdown' || type === 'raw' ? type : 'code';
}

function told(
  model: ICellModel | null,
  source: string,
  outputsOf: (model: ICodeCellModel) => IOutput[]
): ICell {
  if (!model) {
    return { type: 'code', source };
  }
  const type = cellType(model.type);
  const code = type === 'code' ? (model as ICodeCellModel) : null;
  const outputs = code ? outputsOf(code) : [];
  return {
    type,
    source,
    id: model.id,
    // What was edited since it ran hasn't run.
    execution_count: code?.isDirty ? null : (code?.executionCount ?? null),
    ...(outputs.length > 0 && { outputs })
  };
}

/** Those of the outputs that there is room for. */
function fitting(outputs: IOutput[], room: { left: number }): IOutput[] {
  return outputs.filter(output => {
    room.left -= JSON.stringify(output).length;
    return room.left >= 0;
  });
}
