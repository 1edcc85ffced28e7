import { Clipboard } from '@jupyterlab/apputils';
import type { Cell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';

import type { Settings } from '../settings';

/** What a button of the magics asks for; `cell` is the id of the cell that it stands below. */
export interface IAction {
  action: 'hello' | 'insert' | 'replace' | 'copy' | 'automatic';
  cell?: string;
  text?: string;
  value?: boolean;
}

type Notebooks = Pick<INotebookTracker, 'find' | 'forEach' | 'widgetAdded'>;

/** Answers the kernels of all notebooks: santajupyter/kernel/bridge.py has the other end. */
export function answerKernels(notebooks: Notebooks, settings: Settings): void {
  const answer = async (
    comm: Kernel.IComm,
    message: KernelMessage.ICommOpenMsg
  ) => {
    const request = message.content.data as unknown as IAction;
    const done = await perform(request, notebooks, settings);
    comm.close({ done });
  };
  const watch = (panel: NotebookPanel) => {
    const register = () =>
      panel.sessionContext.session?.kernel?.registerCommTarget(
        'santajupyter',
        answer
      );
    panel.sessionContext.kernelChanged.connect(register);
    register();
  };
  notebooks.forEach(watch);
  notebooks.widgetAdded.connect((_, panel) => watch(panel));
}

/** Whether it could be done. Nothing is ever run. */
export async function perform(
  { action, cell, text = '', value }: IAction,
  notebooks: Notebooks,
  settings: Pick<Settings, 'set'>
): Promise<boolean> {
  const panel = notebooks.find(({ content }) => content.widgets.some(is(cell)));
  const index = panel?.content.widgets.findIndex(is(cell)) ?? -1;
  switch (action) {
    case 'hello':
      return true;
    case 'automatic':
      await settings.set('automatic', value === true);
      return true;
    case 'copy':
      Clipboard.copyToSystem(text);
      return true;
    case 'insert':
      panel?.content.model?.sharedModel.insertCell(index + 1, {
        cell_type: 'code',
        source: text
      });
      return panel !== undefined;
    case 'replace': {
      const model = panel?.content.widgets[index].model;
      if (!model || model.getMetadata('editable') === false) {
        return false;
      }
      model.sharedModel.setSource(text);
      return true;
    }
    default:
      return false;
  }
}

function is(id: string | undefined): (cell: Cell) => boolean {
  return cell => cell.model.id === id;
}
