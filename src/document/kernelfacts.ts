import type { ISessionContext } from '@jupyterlab/apputils';
import { ConsolePanel } from '@jupyterlab/console';
import { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

// Compiled or not, this folder's neighbour is `src`.
import type { IKernelFacts, INotebookContext } from '../server/protocol';
import SOURCE from '../../santajupyter/kernel/kernelfacts.py';
import { currentRequest, notebookContext } from './context';
import type { Settings } from '../settings';

/** Milliseconds that a kernel is left alone after a run: another may follow at once. */
const CALM = 100;
/** Milliseconds after which a reading is given up. */
const TIMEOUT = 2000;
/** Cells above and below the active one whose names are told of. */
const ABOVE = 5;
const BELOW = 1;
const MAX_WANTED = 500;
const NOTHING: IKernelFacts = { variables: [], classes: {} };

/** What the kernels of notebooks and consoles hold, as far as the user lets it be read. */
export class KernelFacts {
  constructor(private readonly _settings: Pick<Settings, 'choices'>) {}

  /** What is known of the names around the cursor; never waits. */
  about(widget: Widget, context: INotebookContext): Partial<IKernelFacts> {
    const { variables, classes } = this._watch(widget)?.known ?? NOTHING;
    const words = new Set(namesIn(nearby(context)));
    const near = variables.filter(variable => words.has(variable.name));
    if (near.length === 0) {
      return {};
    }
    const types = near.map(({ module, type }) => `${module}.${type}`);
    const named = types.filter(type => type in classes);
    return {
      variables: near,
      classes: Object.fromEntries(named.map(type => [type, classes[type]]))
    };
  }

  /** Resolves when no reading is under way any more. */
  async settled(widget: Widget): Promise<void> {
    await this._watch(widget)?.settled;
  }

  /** How many readings of the kernel there were. */
  readings(widget: Widget): number {
    return this._watch(widget)?.readings ?? 0;
  }

  private _watch(widget: Widget): KernelWatch | null {
    const kernel = sessionContext(widget)?.session?.kernel;
    if (!kernel || !this._settings.choices.kernelFacts) {
      return null;
    }
    let watch = this._watches.get(kernel);
    if (!watch) {
      watch = new KernelWatch(
        kernel,
        () => this._settings.choices.kernelFacts,
        () => currentCode(widget)
      );
      this._watches.set(kernel, watch);
    }
    watch.refresh();
    return watch;
  }

  private _watches = new WeakMap<Kernel.IKernelConnection, KernelWatch>();
}

/** Reads one kernel's namespace when a run is over and the kernel idle, never while it works. */
class KernelWatch {
  constructor(
    private readonly _kernel: Kernel.IKernelConnection,
    private readonly _isOn: () => boolean,
    private readonly _code: () => string
  ) {
    _kernel.iopubMessage.connect(this._onMessage, this);
    _kernel.statusChanged.connect(this._onStatus, this);
  }

  known = NOTHING;
  readings = 0;

  /** Resolves when no reading is under way any more. */
  get settled(): Promise<void> | undefined {
    return this._reading?.promise;
  }

  /** Reads soon if something ran since the last time. */
  refresh(): void {
    if (this._isStale && !this._reading && this._kernel.status === 'idle') {
      this._reading = new PromiseDelegate();
      window.setTimeout(() => void this._read(), CALM);
    }
  }

  private _onMessage(_: unknown, message: KernelMessage.IIOPubMessage): void {
    // Whoever ran it; a silent execution, such as ours, has no such message.
    this._isStale ||= message.header.msg_type === 'execute_input';
  }

  private _onStatus(_: unknown, status: Kernel.Status): void {
    if (status === 'idle') {
      this.refresh();
    } else if (status !== 'busy') {
      // Restarted or gone, and its names with it.
      this.known = NOTHING;
      this._isStale = true;
    }
  }

  private async _read(): Promise<void> {
    try {
      if (this._isOn() && this._kernel.status === 'idle') {
        const { language_info: language } = await this._kernel.info;
        this._isStale = false;
        if (language.name === 'python') {
          this.known = await ask(this._kernel, wanted(this._code()));
          this.readings++;
        }
      }
    } catch {
      // Without facts a completion is what it is without a kernel.
    }
    this._reading?.resolve();
    this._reading = null;
  }

  private _isStale = true;
  private _reading: PromiseDelegate<void> | null = null;
}

async function ask(
  kernel: Kernel.IKernelConnection,
  words: string[]
): Promise<IKernelFacts> {
  const future = kernel.requestExecute({
    code: '',
    silent: true,
    store_history: false,
    user_expressions: { facts: expression(words) },
    allow_stdin: false,
    stop_on_error: false
  });
  const timer = window.setTimeout(() => future.dispose(), TIMEOUT);
  try {
    const { content } = await future.done;
    return content.status === 'ok'
      ? parse(content.user_expressions.facts)
      : NOTHING;
  } finally {
    window.clearTimeout(timer);
  }
}

/**
 * What the kernel evaluates: Python's own `exec`, whatever the user calls so,
 * runs the file in a dictionary that nothing else sees; `read` then gets the
 * user's namespace. Strings and lists in JSON are Python's as well.
 */
function expression(words: string[]): string {
  return `(lambda own: (
    (lambda: 0).__globals__["__builtins__"].exec(${JSON.stringify(SOURCE)}, own),
    own["read"]((lambda: 0).__globals__, ${JSON.stringify(words)})
  )[1])({})`;
}

/** The facts from Python's `repr` of an ASCII text: backslashes and quotes are all it escapes. */
function parse(answer: unknown): IKernelFacts {
  const { data } = answer as { data?: Record<string, string> };
  const text = data?.['text/plain'] ?? '';
  return JSON.parse(text.slice(1, -1).replace(/\\(.)/g, '$1')) as IKernelFacts;
}

function sessionContext(widget: Widget): ISessionContext | null {
  if (widget instanceof NotebookPanel || widget instanceof ConsolePanel) {
    return widget.sessionContext;
  }
  return null;
}

function currentCode(widget: Widget): string {
  const request = currentRequest(widget);
  return request ? nearby(notebookContext(widget, request, false)) : '';
}

function nearby({ cells, active }: INotebookContext): string {
  return cells
    .slice(Math.max(0, active - ABOVE), active + BELOW + 1)
    .map(cell => cell.source)
    .join('\n');
}

/** What the kernel is asked for first: the names in the code, and what is quoted there, as columns are. */
function wanted(code: string): string[] {
  const quoted = Array.from(code.matchAll(/(["'])([^"'\n]+)\1/g), m => m[2]);
  const words = [...namesIn(code).reverse(), ...quoted.reverse()];
  return [...new Set(words)].slice(0, MAX_WANTED);
}

function namesIn(code: string): string[] {
  return code.match(/[\p{L}_][\p{L}\p{M}\p{N}_]*/gu) ?? [];
}
