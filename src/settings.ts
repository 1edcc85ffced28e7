import type { INotebookModel } from '@jupyterlab/notebook';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { type ISignal, Signal } from '@lumino/signaling';
import type { ICompletionRequest } from './server/protocol';

/** What the user chose; `schema/plugin.json` describes each. */
export interface IChoices {
  enabled: boolean;
  automatic: boolean;
  mode: ICompletionRequest['mode'];
  maxNewTokens: number;
  temperature: number;
  delay: number;
  restDelay: number;
  emptyCells: boolean;
  alternatives: number;
  markdown: boolean;
  offLanguages: string[];
  outputs: boolean;
  kernelFacts: boolean;
}

/** Where a notebook's metadata tell of its own choice. */
const METADATA_KEY = 'santajupyter';

type Metadata = Pick<
  INotebookModel,
  'getMetadata' | 'setMetadata' | 'deleteMetadata'
>;

/** The user's settings, or their defaults where there is no registry. */
export class Settings {
  constructor(pluginId: string, registry: ISettingRegistry | null) {
    this.ready = registry ? this._load(pluginId, registry) : Promise.resolve();
  }

  /** Resolves when the user's settings are known. */
  readonly ready: Promise<void>;

  get choices(): IChoices {
    return this._choices;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  async set(name: 'enabled' | 'automatic', isOn: boolean): Promise<void> {
    if (this._stored) {
      await this._stored.set(name, isOn);
    } else {
      this._choose({ ...this._choices, [name]: isOn });
    }
  }

  /** Whether suggestions are wanted in a language, and in the notebook if it is one. */
  areWantedIn(language: string, notebook: Metadata | null): boolean {
    return (
      this._choices.enabled &&
      !this._choices.offLanguages.some(
        name => name.trim().toLowerCase() === language
      ) &&
      this.isNotebookOn(notebook)
    );
  }

  /** Whether a notebook doesn't say itself that nothing is to be suggested in it. */
  isNotebookOn(notebook: Metadata | null): boolean {
    return notebook === null || ownChoices(notebook).enabled !== false;
  }

  /** Turns suggestions in a notebook off, or on again; the notebook remembers it. */
  toggleNotebook(notebook: Metadata): void {
    const { enabled, ...others } = ownChoices(notebook);
    if (enabled !== false) {
      notebook.setMetadata(METADATA_KEY, { ...others, enabled: false });
    } else if (Object.keys(others).length > 0) {
      notebook.setMetadata(METADATA_KEY, others);
    } else {
      notebook.deleteMetadata(METADATA_KEY);
    }
    this._changed.emit();
  }

  private async _load(
    pluginId: string,
    registry: ISettingRegistry
  ): Promise<void> {
    try {
      const stored = (this._stored = await registry.load(pluginId));
      const read = () =>
        this._choose({ ...DEFAULTS, ...(stored.composite as object) });
      stored.changed.connect(read);
      read();
    } catch (error) {
      console.warn('santajupyter uses its default settings:', error);
    }
  }

  private _choose(choices: IChoices): void {
    this._choices = choices;
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
  private _choices: IChoices = DEFAULTS;
  private _stored: ISettingRegistry.ISettings | null = null;
}

function ownChoices(notebook: Metadata): { enabled?: unknown } {
  const choices: unknown = notebook.getMetadata(METADATA_KEY);
  return typeof choices === 'object' && choices !== null ? choices : {};
}

const DEFAULTS: IChoices = {
  enabled: true,
  automatic: true,
  mode: 'auto',
  maxNewTokens: 64,
  temperature: 0,
  delay: 0,
  restDelay: 400,
  emptyCells: true,
  alternatives: 3,
  markdown: false,
  offLanguages: [],
  outputs: false,
  kernelFacts: true
};
