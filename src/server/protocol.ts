/** What goes over the wire; docs/openapi.json describes it. */

/** A cell as the server gets it. */
export interface ICell {
  type: 'code' | 'markdown' | 'raw';
  source: string;
  id?: string;
  execution_count?: number | null;
  outputs?: IOutput[];
}

/** The cells around a cursor; `offset` counts code points into `cells[active]`. */
export interface INotebookContext {
  cells: ICell[];
  active: number;
  offset: number;
  language: string;
  path: string;
  /** What the cells that were left out define; "*": anything. */
  names?: string[];
}

/** What a cell's last run left; the server takes no more than these lengths. */
export type IOutput =
  | { type: 'error'; name: string; value: string; line?: string }
  | { type: 'text'; text: string };

/** What is known of one of the kernel's names; `kernelfacts.py` makes it. */
export interface IVariable {
  name: string;
  type: string;
  [detail: string]: unknown;
}

/** A database in the kernel's namespace; `databases.py` makes it. */
export interface IDatabase {
  name: string;
  engine: string;
  tables: { name: string; columns: [string, string][] }[];
}

/** What a request tells of the kernel's namespace; `classes` lists the names of the variables' types, `names` all that is there, `modules` all that can be imported. */
export interface IKernelFacts {
  variables: IVariable[];
  classes: Record<string, string[]>;
  names: string[];
  databases?: IDatabase[];
  modules?: string[];
}

/** The body of POST `complete`. */
export interface ICompletionRequest
  extends INotebookContext, Partial<IKernelFacts> {
  trigger: 'invoke' | 'automatic';
  mode: 'auto' | 'line' | 'block';
  max_new_tokens: number;
  temperature: number;
  client: string;
  /** The number of this request among those of its client. */
  sequence?: number;
  /** An automatic completion ends before the word that makes all of it less likely. */
  min_probability?: number;
  /** Nobody waits for it: it gives way to all that somebody waits for. */
  prefetch?: boolean;
  /** Another model may answer first, where this one has much to read. */
  meanwhile?: boolean;
}

/** What mends a cell that failed; `reason` says in a word what it is, or why there is nothing. */
export interface IFix {
  /** In the cell's order; `start` and `end` count code points. */
  edits: { start: number; end: number; text: string }[];
  by: 'rule' | 'model' | null;
  reason: string;
  why: string;
  /** Of a name, the wrong one and the right one. */
  words: string[];
}

/** A completion; `reason` says in a word why its text is empty, `imports` what has to run first, where the server knows. */
export interface ICompletion {
  text: string;
  reason?: string | null;
  imports?: string[] | null;
}

/** What documents a function: `text` goes in `at` code points into the active cell; without one the `message` says why. */
export interface IDocumentation {
  name: string;
  at: number;
  text: string;
  message: string;
}

export type ModelState =
  'unloaded' | 'downloading' | 'loading' | 'ready' | 'error';

/** Whether a model is on its way. */
export function isComing(status: IModelStatus | null): boolean {
  return ['downloading', 'loading'].includes(status?.state ?? '');
}

export interface IProgress {
  phase: string;
  done: number;
  total: number | null;
  unit: string;
}

export interface IModelStatus {
  state: ModelState;
  model: string;
  family: string;
  revision: string;
  device: string;
  dtype: string;
  window: number;
  progress: IProgress | null;
  error: string | null;
}

/** Counts since the server's start; the latencies are of the last 200 completions. */
export interface IStatistics {
  prompt_tokens: number;
  cached_tokens: number;
  latency_ms: { n: number; p50?: number; p95?: number };
}

/** A model that may be loaded; `download` and `memory` are bytes, about, as far as known. */
export interface IOffer {
  model: string;
  /** What people call it, "" where it has no other name; older servers don't say. */
  name?: string;
  /** Whether it writes more than the rest of a line. */
  blocks: boolean;
  download: number | null;
  memory: number | null;
}

/** What the server says of its models; `serving` names the one that answers now. */
export interface IStatus extends IModelStatus {
  serving: string | null;
  /** Whether who asks for several lines gets them, now or when the model is ready; older servers don't say. */
  blocks?: boolean;
  models?: IOffer[];
  fallback: IModelStatus | null;
  message: string;
  allowed_models: string[];
  /** Bytes of main memory that the serving model's process holds. */
  memory: number | null;
  stats: IStatistics;
  /** Whether the server's event logger wants to know what becomes of suggestions; older servers don't say. */
  emit_events?: boolean;
  version: string;
}

/** The server's refusal; `retryAfter` is in seconds, 0 where it didn't say. */
export class ServerError extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
    readonly retryAfter = 0
  ) {
    super(message);
    this.name = 'ServerError';
  }

  /** Whether the server doesn't know the route at all: santajupyter isn't there. */
  get isAbsent(): boolean {
    return this.status === 404 && !this.reason;
  }

  /** Whether a login has expired, as far as can be told: a 403 may also be for good, and a proxy has other pages. */
  get isRefusal(): boolean {
    return (
      ([401, 403].includes(this.status) && !this.reason) ||
      this.reason === 'page'
    );
  }

  /** Whether the user needs no word of it: a newer request won, or the next one may do. */
  get isPassing(): boolean {
    return [409, 424, 429, 502, 503, 504].includes(this.status);
  }
}
