import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { notebookOf } from './helpers';

/** A port beside the one of the server that all tests share. */
const PORT = Number(process.env.SANTA_TEST_PORT) + 1;
const START_LIMIT = 60_000;
const STOP_LIMIT = 10_000;

/** A Jupyter server of one test's own, which it stops and starts as it likes. */
export class Server {
  /** The options are JupyterLab's. */
  constructor(
    private readonly _baseUrl: string,
    private readonly _options: string[] = []
  ) {}

  get url(): string {
    return `http://localhost:${PORT}${this._baseUrl}`;
  }

  /** Makes `test.ipynb`, with an import and an empty cell, and starts. */
  async start(): Promise<void> {
    if (!this._root) {
      this._root = await mkdtemp(join(tmpdir(), 'santajupyter-'));
      await writeFile(
        join(this._root, 'test.ipynb'),
        notebookOf(['import os', ''])
      );
    }
    this._process = spawn(
      'jupyter',
      [
        'lab',
        '--config=jupyter_server_test_config.py',
        `--ServerApp.port=${PORT}`,
        '--ServerApp.port_retries=0',
        `--ServerApp.base_url=${this._baseUrl}`,
        `--ServerApp.root_dir=${this._root}`,
        ...this._options
      ],
      { stdio: 'ignore' }
    );
    await this._answers();
  }

  async stop(): Promise<void> {
    const running = this._process;
    if (running?.exitCode === null && running.signalCode === null) {
      const ended = once(running, 'exit');
      running.kill();
      const timer = setTimeout(() => running.kill('SIGKILL'), STOP_LIMIT);
      await ended;
      clearTimeout(timer);
    }
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this._root, { recursive: true, force: true });
  }

  private async _answers(): Promise<void> {
    const limit = Date.now() + START_LIMIT;
    while (Date.now() < limit) {
      const response = await fetch(`${this.url}api`).catch(() => null);
      if (response?.ok) {
        return;
      }
      if (this._process?.exitCode !== null) {
        break;
      }
      await new Promise(resolve => setTimeout(resolve, 200));
    }
    throw new Error(`JupyterLab does not answer at ${this.url}`);
  }

  private _process: ChildProcess | null = null;
  private _root = '';
}
