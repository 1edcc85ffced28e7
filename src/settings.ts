import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { type ISignal, Signal } from '@lumino/signaling';

import type { ICompletionRequest } from './api';

/** What the user chose; `schema/plugin.json` describes each. */
export interface IChoices {
  enabled: boolean;
  automatic: boolean;
  mode: ICompletionRequest['mode'];
  maxNewTokens: number;
  temperature: number;
  delay: number;
  markdown: boolean;
  outputs: boolean;
  kernelFacts: boolean;
}

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

  toggleAutomatic(): Promise<void> {
    return this.setAutomatic(!this._choices.automatic);
  }

  setAutomatic(automatic: boolean): Promise<void> {
    return this.set('automatic', automatic);
  }

  async set(name: 'enabled' | 'automatic', isOn: boolean): Promise<void> {
    if (this._stored) {
      await this._stored.set(name, isOn);
    } else {
      this._choose({ ...this._choices, [name]: isOn });
    }
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

const DEFAULTS: IChoices = {
  enabled: true,
  automatic: true,
  mode: 'auto',
  maxNewTokens: 64,
  temperature: 0,
  delay: 150,
  markdown: false,
  outputs: false,
  kernelFacts: true
};
