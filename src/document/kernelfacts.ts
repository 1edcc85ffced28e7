import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

// Compiled or not, this folder's neighbour is `src`.
import type { IKernelFacts, INotebookContext } from '../server/protocol';
import DATABASES from '../../santajupyter/kernel/databases.py';
import SOURCE from '../../santajupyter/kernel/kernelfacts.py';
import R_SOURCE from '../../santajupyter/kernel/rfacts.R';
import {
  currentRequest,
  hasCounts,
  notebookContext,
  sessionContext
} from './context';
import type { Settings } from '../settings';

/** Milliseconds that a kernel is left alone after a run: another may follow at once. */
const CALM = 100;
/** Milliseconds after which a reading is given up. */
const TIMEOUT = 2000;
/** Cells above and below the active one whose names are told of. */
const ABOVE = 5;
const BELOW = 1;
const MAX_USED_NAMES = 500;
/** A notebook that has this may ask a database. */
const SQL = /sql|duckdb/i;
/** Code that has this may be SQL, or hold some. */
const ASKS = /sql|duckdb|bigquery|%%ddb|\b(execute(many|script)?|query)\(/i;
/** Of these types DuckDB takes a variable for a table. */
const TABLES = ['DataFrame', 'DuckDBPyRelation', 'LazyFrame'];
/** Under this an R kernel shows what it knows, to us alone: IRkernel evaluates no user expressions. */
const R_TYPE = 'application/vnd.santajupyter';
/** R's names may have dots. */
const R_NAME = /[\p{L}.][\p{L}\p{M}\p{N}._]*/gu;
const NOTHING: IReading = {
  variables: [],
  classes: {},
  names: [],
  partial: false
};

/** What was read; `partial`: there are more names than that. */
interface IReading extends IKernelFacts {
  partial: boolean;
}

/** What the kernels of notebooks and consoles hold, as far as the user lets it be read. */
export class KernelFacts {
  constructor(private readonly _settings: Pick<Settings, 'choices'>) {}

  /** What is known of the names around the cursor; never waits. */
  about(widget: Widget, context: INotebookContext): Partial<IKernelFacts> {
    const known = this._watch(widget)?.known ?? NOTHING;
    const { variables, classes, names, modules } = known;
    const code = nearby(context);
    const words = new Set([...namesIn(code), ...(code.match(R_NAME) ?? [])]);
    const asks = ASKS.test(context.cells[context.active].source);
    const { kernelValues } = this._settings.choices;
    const near = variables
      .filter(
        ({ name, type }) => words.has(name) || (asks && TABLES.includes(type))
      )
      .map(({ values, ...rest }) =>
        kernelValues ? { ...rest, values } : rest
      );
    if (near.length === 0 && names.length === 0) {
      return {};
    }
    const types = near.map(({ module, type }) => `${module}.${type}`);
    const named = types.filter(type => type in classes);
    return {
      variables: near,
      classes: Object.fromEntries(named.map(type => [type, classes[type]])),
      names: [...(context.names ?? []), ...names],
      ...(modules ? { modules } : {}),
      ...(asks && known.databases ? { databases: known.databases } : {})
    };
  }

  /** The user rests there: resolves when what is to be read for that is read. */
  async settled(widget: Widget): Promise<void> {
    const watch = this._watch(widget);
    watch?.visit();
    await watch?.settled;
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
      const isOn = () => this._settings.choices.kernelFacts;
      const mayHaveRun = kernel.status === 'busy' || hasCounts(widget);
      const mayTellValues = () => this._settings.choices.kernelValues;
      watch = new KernelWatch(kernel, isOn, mayTellValues, mayHaveRun);
      this._watches.set(kernel, watch);
    }
    watch.lookFrom(widget);
    watch.refresh();
    return watch;
  }

  private _watches = new WeakMap<Kernel.IKernelConnection, KernelWatch>();
}

/**
 * Reads one kernel's namespace when a run is over and the kernel idle, never
 * while it works, nor before anything ran there.
 */
class KernelWatch {
  /** `mayHaveRun`: something may have run before it was watched; the kernel is asked for that. */
  constructor(
    private readonly _kernel: Kernel.IKernelConnection,
    private readonly _isOn: () => boolean,
    private readonly _mayTellValues: () => boolean,
    mayHaveRun: boolean
  ) {
    this._isStale = mayHaveRun;
    _kernel.iopubMessage.connect(this._onMessage, this);
    _kernel.statusChanged.connect(this._onStatus, this);
  }

  known = NOTHING;
  readings = 0;

  /** Resolves when no reading is under way any more. */
  get settled(): Promise<void> | undefined {
    return this._reading?.promise;
  }

  /** From now on the names around this document's cursor are asked for first. */
  lookFrom(widget: Widget): void {
    if (widget !== this._widget) {
      this._widget = widget;
      widget.disposed.connect(() => {
        if (this._widget === widget) {
          this._widget = null;
        }
      });
    }
  }

  /** Reads again where not all was read and the code around the cursor names what wasn't asked for. */
  visit(): void {
    if (
      this.known.partial &&
      this._names().some(name => !this._told.has(name))
    ) {
      this._isStale = true;
      this.refresh();
    }
  }

  /** Reads soon if something ran since the last time. */
  refresh(): void {
    if (this.readings > 0 && this._withValues !== this._mayTellValues()) {
      this._isStale = true;
    }
    if (this._isStale && !this._reading && this._kernel.status === 'idle') {
      this._reading = new PromiseDelegate();
      window.setTimeout(() => void this._read(), CALM);
    }
  }

  private _onMessage(_: unknown, message: KernelMessage.IIOPubMessage): void {
    // Whoever ran it; a silent execution, such as ours, has no such message, but IRkernel sends one all the same.
    const content = message.content as { code?: string } | undefined;
    const isOurs = content?.code === R_SOURCE;
    if (message.header.msg_type === 'execute_input' && !isOurs) {
      this._isStale = this._hasRun = true;
    }
  }

  private _onStatus(_: unknown, status: Kernel.Status): void {
    if (status === 'idle') {
      this.refresh();
    } else if (status !== 'busy') {
      // Restarted or gone, and its names with it.
      this.known = NOTHING;
      this._isStale = this._hasRun = false;
    }
  }

  private async _read(): Promise<void> {
    try {
      if (this._isOn() && this._kernel.status === 'idle') {
        const { language_info: language } = await this._kernel.info;
        this._isStale = false;
        if (language.name === 'python') {
          const names = this._names();
          this._told = new Set(names);
          const reader = this._hasRun ? 'read' : 'read_if_used';
          this._withValues = this._mayTellValues();
          const values = this._withValues ? 1 : 0;
          const files = this._usesSql() ? [SOURCE, DATABASES] : [SOURCE];
          this.known = await ask(this._kernel, files, reader, names, values);
          this.readings++;
        } else if (language.name === 'R') {
          this.known = await askR(this._kernel);
          this.readings++;
        }
      }
    } catch {
      // Without facts a completion is what it is without a kernel.
    }
    this._reading?.resolve();
    this._reading = null;
  }

  private _names(): string[] {
    return this._widget ? usedNames(currentCode(this._widget)) : [];
  }

  private _usesSql(): boolean {
    const request = this._widget && currentRequest(this._widget);
    const cells =
      this._widget && request
        ? notebookContext(this._widget, request, false).cells
        : [];
    return cells.some(cell => cell.type === 'code' && SQL.test(cell.source));
  }

  /** Whether a run was seen since the kernel started. */
  private _hasRun = false;
  /** Whether there was a run that wasn't read yet. */
  private _isStale: boolean;
  private _reading: PromiseDelegate<void> | null = null;
  /** Whether the last reading was one of values too. */
  private _withValues = false;
  /** The names that were asked for last. */
  private _told = new Set<string>();
  private _widget: Widget | null = null;
}

async function ask(
  kernel: Kernel.IKernelConnection,
  files: string[],
  reader: string,
  words: string[],
  values: 0 | 1
): Promise<IReading> {
  const facts = expression(files, reader, words, values);
  const { content } = await run(kernel, '', { facts }, () => undefined);
  return content.status === 'ok'
    ? parse(content.user_expressions.facts)
    : NOTHING;
}

async function askR(kernel: Kernel.IKernelConnection): Promise<IReading> {
  let known = NOTHING;
  await run(kernel, R_SOURCE, {}, ({ content }) => {
    const { data } = content as { data?: Record<string, unknown> };
    const text = data?.[R_TYPE];
    if (typeof text === 'string') {
      known = JSON.parse(text) as IReading;
    }
  });
  return known;
}

/** Silently, so that no name, history or output is left; rejects where the kernel says nothing in time. */
async function run(
  kernel: Kernel.IKernelConnection,
  code: string,
  expressions: Record<string, string>,
  onIOPub: (message: KernelMessage.IIOPubMessage) => void
): Promise<KernelMessage.IExecuteReplyMsg> {
  const future = kernel.requestExecute({
    code,
    silent: true,
    store_history: false,
    user_expressions: expressions,
    allow_stdin: false,
    stop_on_error: false
  });
  future.onIOPub = onIOPub;
  const timer = window.setTimeout(() => future.dispose(), TIMEOUT);
  try {
    return await future.done;
  } finally {
    window.clearTimeout(timer);
  }
}

/**
 * What the kernel evaluates: Python's own `exec`, whatever the user calls so,
 * runs the files in a dictionary that nothing else sees; `reader`, a function of
 * it, then gets the user's namespace. Strings and lists in JSON are Python's as well.
 */
function expression(
  files: string[],
  reader: string,
  words: string[],
  values: 0 | 1
): string {
  return `(lambda own, run: (
    [run(file, own) for file in ${JSON.stringify(files)}],
    own[${JSON.stringify(reader)}]((lambda: 0).__globals__, ${JSON.stringify(words)}, ${JSON.stringify(values)})
  )[1])({}, (lambda: 0).__globals__["__builtins__"].exec)`;
}

/** The facts from Python's `repr` of an ASCII text: backslashes and quotes are all it escapes. */
function parse(answer: unknown): IReading {
  const { data } = answer as { data?: Record<string, string> };
  const text = data?.['text/plain'] ?? '';
  return JSON.parse(text.slice(1, -1).replace(/\\(.)/g, '$1')) as IReading;
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
function usedNames(code: string): string[] {
  const quoted = Array.from(code.matchAll(/(["'])([^"'\n]+)\1/g), m => m[2]);
  const words = [...namesIn(code).reverse(), ...quoted.reverse()];
  return [...new Set(words)].slice(0, MAX_USED_NAMES);
}

function namesIn(code: string): string[] {
  return code.match(/[\p{L}_][\p{L}\p{M}\p{N}_]*/gu) ?? [];
}
