import type { INotebookModel } from '@jupyterlab/notebook';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { JSONValue } from '@lumino/coreutils';
import { type ISignal, Signal } from '@lumino/signaling';
import picomatch from 'picomatch/posix';

import {
  chosen,
  DEFAULTS,
  type IChoices,
  mended,
  type Translate,
  translated
} from './choices';

export type { IChoices } from './choices';

/** Where a notebook's metadata tell of its own choice. */
const METADATA_KEY = 'santajupyter';

/** Milliseconds until settings that couldn't be read are read again, at first and at most. */
const FIRST_RETRY = 2000;
const MAX_RETRY = 60_000;

type Metadata = Pick<
  INotebookModel,
  'getMetadata' | 'setMetadata' | 'deleteMetadata'
>;

/** What decides whether something may be suggested where the cursor is. */
export interface IWhere {
  /** Null where it is no notebook. */
  notebook: Metadata | null;
  type: 'code' | 'markdown' | 'raw' | null;
  language: string;
  path: string;
  tags: readonly string[];
  isReadOnly: boolean;
}

/** Why nothing is suggested anywhere. */
export type Stop = 'off' | 'off-in-completer' | 'snoozed';

/** Why nothing is suggested at a place. */
export type Refusal =
  | Stop
  | 'notebook'
  | 'language'
  | 'file'
  | 'plain-text'
  | 'markdown'
  | 'raw'
  | 'tag'
  | 'read-only';

/** The tag of a cell in which nothing is to be suggested. */
export const OFF_TAG = 'no-completions';

/** The user's settings, or their defaults where there is no registry. */
export class Settings {
  constructor(
    private readonly _pluginId: string,
    private readonly _registry: ISettingRegistry | null,
    private readonly _translate: Translate = (_, text) => text
  ) {
    _registry?.transform(_pluginId, {
      fetch: plugin => this._mended(plugin, _registry.validator)
    });
    // Until the user's are known, what they may have turned off is off.
    this._choices = _registry
      ? { ...DEFAULTS, enabled: false, kernelFacts: false }
      : DEFAULTS;
    this.ready = this._load();
  }

  /** Resolves when the user's settings are known, or can't be for now. */
  readonly ready: Promise<void>;

  get choices(): IChoices {
    return this._choices;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The keys in the settings that are wrong or unknown. */
  get ignored(): readonly string[] {
    return this._ignored;
  }

  /** Why the settings can't be read; "" if they are. Nothing is suggested until they are. */
  get failure(): string {
    return this._failure;
  }

  /** Why the last change holds only as long as the page is open; "" if it was stored. */
  get unkept(): string {
    return this._unkept;
  }

  /** Whether JupyterLab's own settings leave our provider on. */
  get isProviderOn(): boolean {
    return this._isProviderOn;
  }

  set isProviderOn(isOn: boolean) {
    if (isOn !== this._isProviderOn) {
      this._isProviderOn = isOn;
      this._changed.emit();
    }
  }

  /** When suggestions come back by themselves, in milliseconds since 1970; 0: they aren't snoozed. */
  get snoozedUntil(): number {
    // The alarm stands still while a laptop sleeps.
    return Date.now() < this._snoozedUntil ? this._snoozedUntil : 0;
  }

  /** No suggestions for some time; 0 ends that. */
  snooze(milliseconds: number): void {
    window.clearTimeout(this._alarm);
    this._snoozedUntil = milliseconds > 0 ? Date.now() + milliseconds : 0;
    if (milliseconds > 0) {
      this._alarm = window.setTimeout(() => this.snooze(0), milliseconds);
    }
    this._changed.emit();
  }

  /** Holds at once; where it can't be stored, as long as the page is open. */
  async set<K extends keyof IChoices>(
    name: K,
    value: IChoices[K]
  ): Promise<void> {
    this._choose({ ...this._choices, [name]: value });
    try {
      await this._registry?.set(this._pluginId, name, value as JSONValue);
      this._unkept = '';
    } catch (error) {
      this._unkept = messageOf(error);
      this._changed.emit();
    }
  }

  /** Why nothing is suggested anywhere; null: it is. */
  get stop(): Stop | null {
    return !this._choices.enabled
      ? 'off'
      : !this._isProviderOn
        ? 'off-in-completer'
        : this.snoozedUntil > 0
          ? 'snoozed'
          : null;
  }

  /** Why nothing is suggested at a place, even if the user asks; null: it is. */
  refusal(where: IWhere): Refusal | null {
    if (this.stop) {
      return this.stop;
    }
    const { language, notebook, path, tags, type } = where;
    const { markdown, plainText } = this._choices;
    const reasons: [Refusal, boolean][] = [
      ['notebook', !this.isNotebookOn(notebook)],
      ['file', this._isExcluded(path)],
      ['language', this.isLanguageOff(language)],
      ['raw', type === 'raw'],
      [
        'markdown',
        !markdown && (type === 'markdown' || language === 'markdown')
      ],
      ['plain-text', !plainText && language === 'plain'],
      ['tag', tags.includes(OFF_TAG)],
      ['read-only', where.isReadOnly]
    ];
    return reasons.find(([, holds]) => holds)?.[0] ?? null;
  }

  isLanguageOff(language: string): boolean {
    return this._choices.offLanguages.some(name => isSame(name, language));
  }

  /** Turns suggestions in a language off, or on again. */
  async toggleLanguage(language: string): Promise<void> {
    const { offLanguages } = this._choices;
    await this.set(
      'offLanguages',
      this.isLanguageOff(language)
        ? offLanguages.filter(name => !isSame(name, language))
        : [...offLanguages, language]
    );
  }

  /** Whether a notebook doesn't say itself that nothing is to be suggested in it. */
  isNotebookOn(notebook: Metadata | null): boolean {
    return notebook === null || isOn(ownChoices(notebook));
  }

  /** Turns suggestions in a notebook off, or on again; the notebook remembers it. */
  toggleNotebook(notebook: Metadata): void {
    const { enabled, ...others } = ownChoices(notebook);
    if (isOn({ enabled })) {
      notebook.setMetadata(METADATA_KEY, { ...others, enabled: false });
    } else if (Object.keys(others).length > 0) {
      notebook.setMetadata(METADATA_KEY, others);
    } else {
      notebook.deleteMetadata(METADATA_KEY);
    }
    this._changed.emit();
  }

  /** Asked several times at each key, so what was found last is kept. */
  private _isExcluded(path: string): boolean {
    if (path !== this._judged?.path) {
      const file = path.slice(path.lastIndexOf('/') + 1);
      const isExcluded = this._excluded(path) || this._excluded(file);
      this._judged = { path, isExcluded };
    }
    return this._judged.isExcluded;
  }

  /** Tries until the settings are there: nobody knows before what the user chose. */
  private async _load(pause = FIRST_RETRY): Promise<void> {
    if (!this._registry) {
      return;
    }
    try {
      const stored = await this._registry.load(this._pluginId);
      this._failure = '';
      const read = () => this._choose(chosen(stored.composite));
      stored.changed.connect(read);
      read();
    } catch (error) {
      const isNews = this._failure === '';
      this._failure = messageOf(error);
      if (isNews) {
        this._changed.emit();
      }
      const next = Math.min(2 * pause, MAX_RETRY);
      setTimeout(() => void this._load(next), pause);
    }
  }

  private _mended(
    plugin: ISettingRegistry.IPlugin,
    validator: ISettingRegistry['validator']
  ): ISettingRegistry.IPlugin {
    const result = mended(plugin, validator);
    this._ignored = result.ignored;
    const schema = translated(result.plugin.schema, this._translate);
    return { ...result.plugin, schema };
  }

  private _choose(choices: IChoices): void {
    if (choices.excluded !== this._choices.excluded) {
      this._excluded = excluder(choices.excluded);
      this._judged = null;
    }
    this._choices = choices;
    this._changed.emit();
  }

  private _alarm = 0;
  private _changed = new Signal<this, void>(this);
  private _choices: IChoices;
  private _excluded = excluder(DEFAULTS.excluded);
  private _failure = '';
  private _ignored: string[] = [];
  private _isProviderOn = true;
  private _judged: { path: string; isExcluded: boolean } | null = null;
  private _snoozedUntil = 0;
  private _unkept = '';
}

/** Tells the paths that a glob fits; where one is no glob, nobody knows which it means. */
function excluder(globs: string[]): (path: string) => boolean {
  const named = globs.map(glob => glob.trim()).filter(glob => glob !== '');
  try {
    return named.length > 0
      ? picomatch(named, { dot: true, nocase: true })
      : () => false;
  } catch {
    return () => true;
  }
}

function isSame(name: string, language: string): boolean {
  return name.trim().toLowerCase() === language;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : JSON.stringify(error);
}

/** A notebook's own choice; what can't be understood is a no. */
function ownChoices(notebook: Metadata): { enabled?: unknown } {
  const choices: unknown = notebook.getMetadata(METADATA_KEY) ?? {};
  return typeof choices === 'object' && !Array.isArray(choices) && choices
    ? choices
    : { enabled: false };
}

function isOn({ enabled = true }: { enabled?: unknown }): boolean {
  return enabled === true;
}
