import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type {
  PartialJSONObject,
  PartialJSONValue,
  ReadonlyPartialJSONObject
} from '@lumino/coreutils';

import type { ICompletionRequest } from './server/protocol';

/** What the user chose; `schema/plugin.json` describes each. */
export interface IChoices {
  enabled: boolean;
  automatic: boolean;
  onlySure: boolean;
  holdToShow: boolean;
  meanwhile: boolean;
  mode: ICompletionRequest['mode'];
  maxNewTokens: number;
  temperature: number;
  delay: number;
  restDelay: number;
  emptyCells: boolean;
  tabIndents: boolean;
  alternatives: number;
  markdown: boolean;
  plainText: boolean;
  offLanguages: string[];
  excluded: string[];
  outputs: boolean;
  kernelFacts: boolean;
  kernelValues: boolean;
  announce: boolean;
}

export const DEFAULTS: IChoices = {
  enabled: true,
  automatic: true,
  onlySure: false,
  holdToShow: false,
  meanwhile: true,
  mode: 'auto',
  maxNewTokens: 64,
  temperature: 0,
  delay: 0,
  restDelay: 400,
  emptyCells: true,
  tabIndents: false,
  alternatives: 3,
  markdown: false,
  plainText: false,
  offLanguages: [],
  excluded: [
    '.env',
    '.env.*',
    '*.env',
    '*.pem',
    '*.key',
    '*.p12',
    '*.pfx',
    '*.kdbx',
    'id_rsa*',
    'id_dsa*',
    'id_ecdsa*',
    'id_ed25519*',
    '.netrc',
    '.pgpass',
    '.npmrc',
    '.pypirc',
    '.htpasswd',
    '*secret*',
    '*credential*',
    '*password*',
    '*.csv',
    '*.tsv',
    '*.log'
  ],
  outputs: false,
  kernelFacts: true,
  kernelValues: false,
  announce: true
};

/** What stands for a value that can't be read: the one with which the least is sent and shown. */
const CLOSED: Partial<IChoices> = {
  enabled: false,
  automatic: false,
  onlySure: true,
  holdToShow: true,
  meanwhile: false,
  emptyCells: false,
  markdown: false,
  plainText: false,
  outputs: false,
  kernelFacts: false,
  kernelValues: false
};

type Plugin = ISettingRegistry.IPlugin;
type Validator = ISettingRegistry['validator'];
type Schema = ISettingRegistry.ISchema;
type Properties = NonNullable<ISettingRegistry.ISchema['properties']>;

/** The choices in settings that were loaded; other keys are nothing to us. */
export function chosen(composite: ReadonlyPartialJSONObject): IChoices {
  const known = Object.keys(DEFAULTS).filter(key => key in composite);
  return {
    ...DEFAULTS,
    ...Object.fromEntries(known.map(key => [key, composite[key]]))
  };
}

/**
 * What JupyterLab is to load for a plugin, and the keys that are ignored.
 *
 * JupyterLab, and its server without a word, reject all of a user's settings where
 * one has a wrong value, so that the defaults hold. Hence the schema's `properties`
 * let everything pass, and its `definitions` say what may be there: they are put
 * together here, and what doesn't fit is replaced, key by key.
 */
export function mended(
  plugin: Plugin,
  validator: Validator
): { plugin: Plugin; ignored: string[] } {
  // Without a prototype: "constructor" is no key of ours.
  const types = Object.assign(
    Object.create(null),
    plugin.schema.definitions
  ) as Properties;
  const fits = (key: string, value: PartialJSONValue) =>
    validator.validateData(probe(plugin, key, value, types[key]), false) ===
    null;
  // An administrator's defaults may be wrong, too.
  const defaults = readable(defaultsOf(plugin), types, fits);
  const user = parsed(plugin, validator);
  const own = user
    ? readable(user, types, fits)
    : { kept: { enabled: false }, ignored: [WHOLE_FILE] };
  const properties = { ...plugin.schema.properties };
  for (const [key, type] of Object.entries(types)) {
    const value = defaults.kept[key] ?? DEFAULTS[key as keyof IChoices];
    properties[key] = { ...properties[key], ...type, default: value };
  }
  return {
    plugin: {
      ...plugin,
      raw: own.ignored.length > 0 ? JSON.stringify(own.kept) : plugin.raw,
      schema: { ...plugin.schema, properties }
    },
    ignored: [...new Set([...defaults.ignored, ...own.ignored])]
  };
}

/** Gives the text in the user's language, by the context in which a catalogue has it. */
export type Translate = (context: string, text: string) => string;

/** The schema in the user's language. JupyterLab's server asks only language packs for settings, not extensions. */
export function translated(schema: Schema, translate: Translate): Schema {
  const inContext = <T extends Titled>(context: string, part: T): T => ({
    ...part,
    ...(part.title && { title: translate(context, part.title) }),
    ...(part.description && {
      description: translate(context, part.description)
    })
  });
  const properties = Object.entries(schema.properties ?? {}).map(
    ([key, property]) => {
      const { oneOf } = property as { oneOf?: Titled[] };
      const kinds = oneOf?.map(kind => inContext('schema', kind));
      return [
        key,
        { ...inContext('settings', property), ...(kinds && { oneOf: kinds }) }
      ] as const;
    }
  );
  return {
    ...inContext('schema', schema),
    properties: Object.fromEntries(properties)
  };
}

/** An interface would be no JSON to TypeScript. */
type Titled = { title?: string; description?: string };

/** Stands for all keys where the text is no JSON. */
const WHOLE_FILE = '*';

/** The values that can be used, and the keys of those that can't; what is unknown does no harm. */
function readable(
  values: PartialJSONObject,
  types: Properties,
  fits: (key: string, value: PartialJSONValue) => boolean
): { kept: PartialJSONObject; ignored: string[] } {
  const kept: PartialJSONObject = {};
  const closed: PartialJSONObject = {};
  const ignored: string[] = [];
  for (const [key, value = null] of Object.entries(values)) {
    if (key in types && fits(key, value)) {
      kept[key] = value;
      continue;
    }
    ignored.push(key);
    if (key in types) {
      Object.assign(closed, safe(key, value));
    } else {
      kept[key] = value;
      const meant = Object.entries(saidOff(key, value));
      const own = meant.filter(([name]) => !(name in values));
      Object.assign(closed, Object.fromEntries(own));
    }
  }
  return { kept: { ...kept, ...closed }, ignored };
}

/** What stands for a value of the wrong kind: with it least is sent and shown. */
function safe(key: string, value: PartialJSONValue): PartialJSONObject {
  if (!Array.isArray(DEFAULTS[key as keyof IChoices])) {
    return key in CLOSED ? { [key]: CLOSED[key as keyof IChoices] } : {};
  }
  const items = ([value] as unknown[]).flat(Infinity) as PartialJSONValue[];
  const names = items.filter(item => typeof item === 'string');
  // Where nobody can tell what is left out, all is.
  return names.length > 0 && !items.some(isObject)
    ? { [key]: names }
    : { enabled: false };
}

/** What a key that is spelt otherwise, or settings within settings, leave off. They never turn on. */
function saidOff(key: string, value: PartialJSONValue): PartialJSONObject {
  if (isObject(value)) {
    const parts = Object.entries(value as PartialJSONObject);
    return Object.assign(
      {},
      ...parts.map(([key, value = null]) => saidOff(key, value))
    );
  }
  const letters = lettersOf(key);
  const known = Object.keys(DEFAULTS).find(key => lettersOf(key) === letters);
  const isOn = known && value === !CLOSED[known as keyof IChoices];
  return known && !isOn ? safe(known, value) : {};
}

/** Of `santajupyter.off_languages` "offlanguages". */
function lettersOf(key: string): string {
  const name = key.trim().split(/[.:/]/).pop() ?? '';
  return name.replace(/[^a-z]/gi, '').toLowerCase();
}

function isObject(value: PartialJSONValue): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function defaultsOf({ schema }: Plugin): PartialJSONObject {
  return Object.fromEntries(
    Object.entries(schema.properties ?? {}).map(([key, property]) => [
      key,
      property.default
    ])
  );
}

/** The user's values, read by JupyterLab's own parser; null where the text can't be. */
function parsed(
  plugin: Plugin,
  validator: Validator
): PartialJSONObject | null {
  const text = {
    ...plugin,
    id: `${plugin.id}.text`,
    schema: { type: 'object' }
  };
  return validator.validateData(text as Plugin)
    ? null
    : (text.data.user as PartialJSONObject);
}

/** Settings with one value in them. */
function probe(
  plugin: Plugin,
  key: string,
  value: PartialJSONValue,
  type: Properties[string]
): Plugin {
  return {
    ...plugin,
    id: `${plugin.id}.${key}`,
    raw: JSON.stringify({ [key]: value }),
    schema: { type: 'object', properties: { [key]: type } }
  };
}
