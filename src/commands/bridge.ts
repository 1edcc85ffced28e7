import type { ISessionContext } from '@jupyterlab/apputils';
import type { Cell, ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { IConsoleTracker } from '@jupyterlab/console';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { type Kernel, KernelMessage } from '@jupyterlab/services';
import { type JSONObject, UUID } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type { Settings } from '../settings';
import { copy } from './clipboard';

/** What a kernel sends; santajupyter/kernel/bridge.py has the other end. */
interface IMessage {
  /** The comm to answer to. */
  comm: string;
  id: string;
  /** The page that is to do what it has offered to do; nothing else is told then. */
  granted?: string;
}

/** What a button of the magics asks for. */
export interface IRequest extends IMessage {
  action: 'hello' | 'locate' | 'insert' | 'replace' | 'copy' | 'automatic';
  /** The id of the cell that was run. */
  cell?: string;
  /** The connection that had it run. */
  client?: string;
  text?: string;
  value?: boolean;
  /** Of the run, for where a server ran the cell: its text and its number. */
  code?: string;
  count?: number;
}

/** Where it is heard, and what it may change. */
export interface IBridgeParts {
  notebooks: INotebookTracker;
  consoles: IConsoleTracker | null;
  /** The cells that this page has run. */
  runs: ISignal<unknown, { cell: Cell }>;
  settings: Pick<Settings, 'set'>;
}

interface IRun {
  panel: NotebookPanel;
  model: ICodeCellModel;
}

/** What the id of the kernel's comm begins with: no page has it open. */
const COMM = 'santajupyter-';
/** Milliseconds in which the page that a request came from has answered it. */
const GRACE = 2000;

/** Answers the kernels of all notebooks. */
export function answerKernels(parts: IBridgeParts): void {
  const bridge = new Bridge(parts);
  parts.runs.connect((_, { cell }) => bridge.noteRun(cell.model));
  const watch = ({ sessionContext }: NotebookPanel) => {
    sessionContext.iopubMessage.connect((_, message) =>
      bridge.hear(sessionContext, message)
    );
  };
  parts.notebooks.forEach(watch);
  parts.notebooks.widgetAdded.connect((_, panel) => watch(panel));
}

/**
 * Does what kernels ask for, each thing once: a page hears it from each of its
 * notebooks, and so does every other page of the kernel. The page that sent what led
 * to the request, or had a server run the cell, does it at once. Others do it where
 * that one is gone, when the kernel has granted it to one of them.
 */
class Bridge {
  constructor(private readonly _parts: IBridgeParts) {}

  noteRun(model: ICellModel): void {
    if (isCode(model)) {
      const code = model.sharedModel.getSource();
      this._ran.set(model, { code, before: model.executionCount });
    }
  }

  hear(context: ISessionContext, message: KernelMessage.IMessage): void {
    const heard = messageIn(message);
    const kernel = context.session?.kernel;
    if (!heard || !kernel) {
      return;
    }
    const offered = this._offered.get(heard.id);
    if (offered && heard.granted === this._page) {
      this._offered.delete(heard.id);
      void this._do(offered, kernel);
    } else if (isRequest(heard) && !this._heard.has(heard.id)) {
      this._heard.add(heard.id);
      const isRunHere = !!this._runOf(heard, kernel);
      if (heard.action === 'locate') {
        after(isRunHere ? 0 : GRACE, () => this._locate(heard, kernel));
      } else if (
        heard.action === 'hello' ||
        isRunHere ||
        this._isOurs(message.parent_header)
      ) {
        this._forgetRun(heard, kernel);
        void this._do(heard, kernel);
      } else {
        setTimeout(() => this._offer(heard, kernel), GRACE);
      }
    }
  }

  /** Says which cell runs, and in which notebook. */
  private _locate(request: IRequest, kernel: Kernel.IKernelConnection): void {
    const run = this._runOf(request, kernel) ?? this._guess(request, kernel);
    if (run) {
      this._forgetRun(request, kernel);
      const client = connectionOf(run.panel)?.clientId ?? '';
      answer(kernel, request, { done: true, cell: run.model.id, client });
    }
  }

  private async _do(
    request: IRequest,
    kernel: Kernel.IKernelConnection
  ): Promise<void> {
    const done = await this._perform(request, kernel);
    answer(kernel, request, { done });
  }

  private _offer(request: IRequest, kernel: Kernel.IKernelConnection): void {
    const { action } = request;
    const needsCell = action === 'insert' || action === 'replace';
    // Somebody else's clipboard and settings are not this one's.
    const isPersonal = action === 'copy' || action === 'automatic';
    if (isPersonal || (needsCell && !this._find(request, kernel))) {
      return;
    }
    this._offered.set(request.id, request);
    answer(kernel, request, { offer: this._page });
  }

  /** Whether it could be done. Nothing is ever run. */
  private async _perform(
    request: IRequest,
    kernel: Kernel.IKernelConnection
  ): Promise<boolean> {
    const { action, text = '', value } = request;
    switch (action) {
      case 'hello':
        return true;
      case 'automatic':
        await this._parts.settings.set('automatic', value === true);
        return true;
      case 'copy':
        return copy(text);
      case 'insert': {
        const panel = this._find(request, kernel);
        panel?.model?.sharedModel.insertCell(indexIn(panel, request) + 1, {
          cell_type: 'code',
          source: text
        });
        return !!panel?.model;
      }
      case 'replace': {
        const panel = this._find(request, kernel);
        const cell = panel?.content.widgets[indexIn(panel, request)].model;
        if (!cell || cell.getMetadata('editable') === false) {
          return false;
        }
        cell.sharedModel.setSource(text);
        return true;
      }
      default:
        return false;
    }
  }

  /**
   * The kernel's notebook with the cell. Copies of a notebook have the same cells, and
   * may have the same kernel: the one that ran the cell counts, and once that is no
   * longer known, the one that the user is in.
   */
  private _find(
    request: IRequest,
    kernel: Kernel.IKernelConnection
  ): NotebookPanel | undefined {
    const found = this._panelsOf(kernel).filter(
      panel => indexIn(panel, request) >= 0
    );
    const { currentWidget } = this._parts.notebooks;
    return (
      found.find(panel => connectionOf(panel)?.clientId === request.client) ??
      found.find(panel => panel === currentWidget) ??
      found[0]
    );
  }

  /** The cell that this page has run, and that the kernel hasn't spoken of yet. */
  private _runOf(
    { code, count }: IRequest,
    kernel: Kernel.IKernelConnection
  ): IRun | undefined {
    return this._cellsOf(kernel).find(({ model }) => {
      const ran = this._ran.get(model);
      // Another number: that run is over, and somebody else has begun another.
      const numbers = [null, ran?.before, count];
      return (
        !!ran && ran.code === code && numbers.includes(model.executionCount)
      );
    });
  }

  private _forgetRun(
    request: IRequest,
    kernel: Kernel.IKernelConnection
  ): void {
    const run = this._runOf(request, kernel);
    if (run) {
      this._ran.delete(run.model);
    }
  }

  /** The cell of a run that this page doesn't know of: it was loaded since, or another page has run it. */
  private _guess(
    { code, count }: IRequest,
    kernel: Kernel.IKernelConnection
  ): IRun | undefined {
    const same = this._cellsOf(kernel).filter(
      ({ model }) => model.sharedModel.getSource() === code
    );
    return (
      same.find(({ model }) => model.executionState === 'running') ??
      same.find(({ model }) => model.executionCount === count) ??
      (new Set(same.map(({ model }) => model)).size === 1 ? same[0] : undefined)
    );
  }

  private _cellsOf(kernel: Kernel.IKernelConnection): IRun[] {
    return this._panelsOf(kernel).flatMap(panel =>
      [...(panel.content.model?.cells ?? [])]
        .filter(isCode)
        .map(model => ({ panel, model }))
    );
  }

  private _panelsOf({ id }: Kernel.IKernelConnection): NotebookPanel[] {
    return this._parts.notebooks.filter(
      panel => connectionOf(panel)?.id === id
    );
  }

  /** Whether this page sent it: by a notebook, or by a console, which the widgets of a notebook may talk through. */
  private _isOurs(header: KernelMessage.IMessage['parent_header']): boolean {
    const { notebooks, consoles } = this._parts;
    const isSender = (widget: { sessionContext: ISessionContext }) =>
      'session' in header && connectionOf(widget)?.clientId === header.session;
    return !!(notebooks.find(isSender) ?? consoles?.find(isSender));
  }

  /** Of each cell its text and its number when it was last run. */
  private readonly _ran = new WeakMap<
    ICellModel,
    { code: string; before: number | null }
  >();
  private readonly _page = UUID.uuid4();
  private readonly _heard = new Set<string>();
  private readonly _offered = new Map<string, IRequest>();
}

function isCode(cell: ICellModel): cell is ICodeCellModel {
  return cell.type === 'code';
}

function after(milliseconds: number, act: () => void): void {
  if (milliseconds === 0) {
    act();
  } else {
    setTimeout(act, milliseconds);
  }
}

function messageIn(message: KernelMessage.IMessage): IMessage | null {
  if (!KernelMessage.isCommMsgMsg(message)) {
    return null;
  }
  const { comm_id: comm, data } = message.content;
  return comm.startsWith(COMM) && typeof data.id === 'string'
    ? { ...data, id: data.id, comm }
    : null;
}

function isRequest(message: IMessage): message is IRequest {
  return 'action' in message;
}

function connectionOf({
  sessionContext
}: {
  sessionContext: ISessionContext;
}): Kernel.IKernelConnection | null | undefined {
  return sessionContext.session?.kernel;
}

function indexIn(panel: NotebookPanel, { cell }: IRequest): number {
  return panel.content.widgets.findIndex(({ model }) => model.id === cell);
}

/** By hand, since only one connection of a page has the kernel's comms. */
function answer(
  kernel: Kernel.IKernelConnection,
  { id, comm }: IRequest,
  data: JSONObject
): void {
  if (kernel.isDisposed || kernel.status === 'dead') {
    return;
  }
  kernel.sendShellMessage(
    KernelMessage.createMessage<KernelMessage.ICommMsgMsg<'shell'>>({
      msgType: 'comm_msg',
      channel: 'shell',
      username: kernel.username,
      session: kernel.clientId,
      content: { comm_id: comm, data: { id, ...data } }
    })
  );
}
