import {
  type ISettingRegistry,
  SettingRegistry
} from '@jupyterlab/settingregistry';

import SCHEMA from '../../schema/plugin.json';
import { DEFAULTS } from '../choices';
import { type IWhere, Settings } from '../settings';

/** A notebook of these metadata. */
function notebook(metadata: object = {}) {
  const data = new Map<string, unknown>(Object.entries(metadata));
  return {
    data: () => Object.fromEntries(data),
    getMetadata: (key = '') => data.get(key),
    setMetadata: (key: string, value: unknown) => void data.set(key, value),
    deleteMetadata: (key: string) => void data.delete(key)
  };
}

const ID = 'santajupyter:plugin';

/** JupyterLab's registry on a server that has this text for the user's settings. */
function registryOf(
  raw: string,
  defaults: Record<string, unknown> = {},
  fetched: () => void = () => {}
): SettingRegistry {
  const data = { composite: {}, user: {} };
  const schema = JSON.parse(JSON.stringify(SCHEMA));
  for (const [key, value] of Object.entries(defaults)) {
    schema.properties[key] = { ...schema.properties[key], default: value };
  }
  const server = { id: ID, raw, schema, version: '', data };
  const connector = {
    fetch: () => {
      fetched();
      return Promise.resolve({ ...server, data: { ...data } });
    },
    save: (_: string, raw: string) => Promise.resolve(void (server.raw = raw))
  };
  return new SettingRegistry({ connector: connector as never });
}

/** The settings where these are the user's. */
async function settingsOf(
  user: object | string,
  defaults: Record<string, unknown> = {}
): Promise<Settings> {
  const raw = typeof user === 'string' ? user : JSON.stringify(user);
  const settings = new Settings(ID, registryOf(raw, defaults));
  await settings.ready;
  return settings;
}

function place(where: Partial<IWhere> = {}): IWhere {
  return {
    notebook: null,
    type: 'code',
    language: 'python',
    path: 'a/b.py',
    tags: [],
    isReadOnly: false,
    ...where
  };
}

it('shows the settings in the language of the page, with the values as they are', async () => {
  const registry = registryOf('{"mode": "line"}');
  const settings = new Settings(
    ID,
    registry,
    (context, text) => `${context}: ${text}`
  );
  await settings.ready;
  const { schema } = registry.plugins[ID] as ISettingRegistry.IPlugin;
  expect(schema.title).toBe('schema: SantaJupyter');
  const { mode, delay } = schema.properties ?? {};
  expect(mode).toMatchObject({
    title: 'settings: Length of a suggestion',
    description: expect.stringMatching(/^settings: A line/),
    oneOf: [
      { const: 'auto', title: 'schema: Auto' },
      { const: 'line', title: 'schema: Line' },
      { const: 'block', title: 'schema: Block' }
    ]
  });
  expect(delay.title).toBe('settings: Delay while typing (milliseconds)');
  expect(settings.choices).toEqual({ ...DEFAULTS, mode: 'line' });
});

describe('Settings', () => {
  it('leave out languages, however they are spelt', async () => {
    const settings = await settingsOf({ offLanguages: ['Julia', ' r '] });
    const languages = ['python', 'julia', 'r', 'rust'];
    expect(languages.filter(name => settings.isLanguageOff(name))).toEqual([
      'julia',
      'r'
    ]);
  });

  it('let each notebook choose, and nothing where all is off', async () => {
    const off = notebook({ santajupyter: { enabled: false } });
    const on = await settingsOf({});
    expect(on.refusal(place({ notebook: off }))).toBe('notebook');
    expect(on.refusal(place({ notebook: notebook() }))).toBeNull();
    const none = await settingsOf({ enabled: false });
    expect(none.refusal(place({ notebook: notebook() }))).toBe('off');
  });

  it('take what a notebook says and nobody understands for a no', async () => {
    const settings = await settingsOf({});
    for (const santajupyter of ['off', [], 0, { enabled: 0 }]) {
      expect(settings.isNotebookOn(notebook({ santajupyter }))).toBe(false);
    }
    for (const santajupyter of [null, {}, { later: 1 }, { enabled: true }]) {
      expect(settings.isNotebookOn(notebook({ santajupyter }))).toBe(true);
    }
  });

  it('keep a choice in the notebook, and leave no trace of a former one', async () => {
    const settings = await settingsOf({});
    const changed = jest.fn();
    settings.changed.connect(changed);
    const plain = notebook();
    settings.toggleNotebook(plain);
    expect(plain.data()).toEqual({ santajupyter: { enabled: false } });
    settings.toggleNotebook(plain);
    expect(plain.data()).toEqual({});
    const other = notebook({ santajupyter: { later: 1 } });
    settings.toggleNotebook(other);
    settings.toggleNotebook(other);
    expect(other.data()).toEqual({ santajupyter: { later: 1 } });
    expect(changed).toHaveBeenCalledTimes(4);
  });

  it('has the defaults that the schema tells, and a kind for each', () => {
    const told = Object.entries(SCHEMA.properties).map(([key, property]) => [
      key,
      property.default
    ]);
    expect(Object.fromEntries(told)).toEqual(DEFAULTS);
    expect(Object.keys(SCHEMA.definitions)).toEqual(Object.keys(DEFAULTS));
  });

  it.each([
    ['an unknown key', { enabled: false, oldKey: 1 }, 'oldKey', false],
    ['a wrong value', { enabled: false, delay: 6000 }, 'delay', false],
    [
      'a wrong kind',
      { enabled: false, temperature: 'hot' },
      'temperature',
      false
    ],
    ['no boolean', { enabled: 'false' }, 'enabled', false],
    ['null', { enabled: null }, 'enabled', false],
    ['another wrong key', { enabled: true, oldKey: 1 }, 'oldKey', true]
  ])('reads the rest beside %s', async (_, user, ignored, enabled) => {
    const settings = await settingsOf({ ...user, maxNewTokens: 7 });
    expect(settings.choices).toMatchObject({ enabled, maxNewTokens: 7 });
    expect(settings.ignored).toEqual([ignored]);
    expect(settings.failure).toBe('');
  });

  it('turns nothing on that it cannot read', async () => {
    const keys = Object.entries(DEFAULTS)
      .filter(([, value]) => typeof value === 'boolean')
      .map(([key]) => [key, 'no']);
    const { choices } = await settingsOf(Object.fromEntries(keys));
    expect(choices).toMatchObject({
      enabled: false,
      automatic: false,
      emptyCells: false,
      markdown: false,
      plainText: false,
      outputs: false,
      kernelFacts: false,
      kernelValues: false
    });
  });

  it('leaves out what a list names, or all where it names nothing', async () => {
    for (const offLanguages of ['julia', ['julia', 1]]) {
      const settings = await settingsOf({ offLanguages });
      expect(settings.ignored).toEqual(['offLanguages']);
      expect(settings.choices).toMatchObject({
        enabled: true,
        offLanguages: ['julia']
      });
    }
    for (const unreadable of [7, { julia: true }, null]) {
      const user = { enabled: true, excluded: unreadable };
      expect((await settingsOf(user)).choices.enabled).toBe(false);
    }
  });

  it.each([
    { Enabled: false },
    { ENABLED: 'no' },
    { ' enabled ': false },
    { 'santajupyter.enabled': false },
    { 'santajupyter:plugin': { enabled: false } },
    { settings: { suggest: { enabled: null } } },
    { Excluded: [] },
    { excluded: ['*.py', { glob: '*.pem' }] },
    { offLanguages: [[]] }
  ])('is off where somebody tried to say so: %j', async user => {
    expect((await settingsOf(user)).choices.enabled).toBe(false);
  });

  it.each([
    [{ Enabled: true, enabled: false }, { enabled: false }],
    [{ 'santajupyter:plugin': { enabled: true } }, { enabled: true }],
    // As it is after the panel has turned it on again.
    [{ Enabled: false, enabled: true }, { enabled: true }],
    [{ Automatic: false }, { enabled: true, automatic: false }],
    [{ kernel_facts: false }, { kernelFacts: false }],
    [{ KernelValues: true, kernel_values: 1 }, { kernelValues: false }],
    [
      { markDown: true, Outputs: true },
      { markdown: false, outputs: false }
    ],
    [{ OnlySure: true }, { onlySure: true }],
    [{ off_languages: ['r', ['julia']] }, { offLanguages: ['r', 'julia'] }],
    [{ temperature: { value: 1 } }, { temperature: 0 }],
    [{ constructor: false, toString: 1 }, { enabled: true }],
    [JSON.parse('{"__proto__": {"enabled": false}}'), { enabled: false }],
    [
      { Delay: 'x', unknown: [null, { deep: [] }] },
      { enabled: true, delay: 0 }
    ]
  ])('takes keys that it does not know only for a no: %j', async (user, is) => {
    const settings = await settingsOf(user);
    expect(settings.choices).toMatchObject(is);
    expect(settings.ignored).not.toEqual([]);
  });

  it.each(['{"enabled": fal', '[]', 'true', ''])(
    'is off where the text is no settings: %s',
    async raw => {
      const settings = await settingsOf(raw);
      expect(settings.choices.enabled).toBe(false);
      expect(settings.ignored).toEqual(['*']);
    }
  );

  it('reads comments, as JupyterLab does', async () => {
    const raw = '{\n// mine\n"enabled": false, "oldKey": 1}';
    expect((await settingsOf(raw)).choices.enabled).toBe(false);
  });

  it("holds an administrator's defaults, but for wrong ones", async () => {
    const settings = await settingsOf({}, { automatic: false, delay: 'x' });
    expect(settings.choices).toMatchObject({ automatic: false, delay: 0 });
    expect(settings.ignored).toEqual(['delay']);
    expect((await settingsOf({}, { enabled: 'off' })).choices.enabled).toBe(
      false
    );
  });

  it('stores a change, and keeps what it did not know', async () => {
    const registry = registryOf('{"enabled": false, "later": 1}');
    const settings = new Settings(ID, registry);
    await settings.ready;
    const done = settings.set('enabled', true);
    expect(settings.choices.enabled).toBe(true);
    await done;
    expect(registry.plugins[ID].data.user).toEqual({ enabled: true, later: 1 });
    expect(settings.unkept).toBe('');
  });

  it('is off while it cannot be read, and on again by itself', async () => {
    jest.useFakeTimers();
    try {
      let isThere = false;
      const registry = registryOf('{}', {}, () => {
        if (!isThere) {
          throw new Error('Bad gateway');
        }
      });
      const settings = new Settings(ID, registry);
      expect(settings.choices.enabled).toBe(false);
      await settings.ready;
      expect(settings.failure).toBe('Bad gateway');
      expect(settings.stop).toBe('off');
      isThere = true;
      await jest.advanceTimersByTimeAsync(2000);
      expect(settings.failure).toBe('');
      expect(settings.stop).toBeNull();
    } finally {
      jest.useRealTimers();
    }
  });

  it('holds for the page what cannot be stored', async () => {
    const registry = registryOf('{}');
    const settings = new Settings(ID, registry);
    await settings.ready;
    registry.connector.save = () => Promise.reject(new Error('Read-only'));
    await settings.set('enabled', false);
    expect(settings.choices.enabled).toBe(false);
    expect(settings.unkept).toBe('Read-only');
  });

  it('snoozes for a time', async () => {
    jest.useFakeTimers();
    try {
      const settings = new Settings(ID, null);
      settings.snooze(300_000);
      expect(settings.stop).toBe('snoozed');
      jest.advanceTimersByTime(299_999);
      expect(settings.stop).toBe('snoozed');
      jest.advanceTimersByTime(1);
      expect([settings.stop, settings.snoozedUntil]).toEqual([null, 0]);
      settings.snooze(300_000);
      settings.snooze(0);
      expect(settings.stop).toBeNull();
      settings.snooze(300_000);
      // A laptop slept: no timer went on.
      jest.setSystemTime(Date.now() + 300_000);
      expect([settings.stop, settings.snoozedUntil]).toEqual([null, 0]);
    } finally {
      jest.useRealTimers();
    }
  });

  it.each([
    ['a.py', null],
    ['secrets/a.py', null],
    ['.env', 'file'],
    ['x/.env.local', 'file'],
    ['x/ID_RSA.pub', 'file'],
    ['x/server.PEM', 'file'],
    ['my_secrets.ipynb', 'file'],
    ['data.csv', 'file'],
    ['keyboard.py', null]
  ])('looks at the name %s', async (path, refusal) => {
    const settings = await settingsOf({});
    expect(settings.refusal(place({ path }))).toBe(refusal);
  });

  it('takes globs with a folder for paths, and broken ones for all', async () => {
    const settings = await settingsOf({ excluded: ['private/**', ' ', ''] });
    const at = (path: string) => settings.refusal(place({ path }));
    expect([at('private/x/a.py'), at('a.py'), at('.env')]).toEqual([
      'file',
      null,
      null
    ]);
    const long = await settingsOf({ excluded: ['*'.repeat(70_000)] });
    expect(long.refusal(place())).toBe('file');
  });

  it('tells why nothing is suggested at a place', async () => {
    const settings = await settingsOf({ offLanguages: ['r'] });
    const of = (where: Partial<IWhere>) => settings.refusal(place(where));
    const off = notebook({ santajupyter: { enabled: false } });
    expect(of({ notebook: off })).toBe('notebook');
    expect(of({ language: 'r' })).toBe('language');
    expect(of({ language: 'plain', path: 'LICENSE' })).toBe('plain-text');
    expect(of({ language: 'markdown', path: 'a.md' })).toBe('markdown');
    expect(of({ type: 'markdown' })).toBe('markdown');
    expect(of({ type: 'raw' })).toBe('raw');
    expect(of({ tags: ['a', 'no-completions'] })).toBe('tag');
    expect(of({ isReadOnly: true })).toBe('read-only');
    settings.isProviderOn = false;
    expect(of({})).toBe('off-in-completer');
  });

  it('turns a language off and on', async () => {
    const settings = await settingsOf({ offLanguages: [' R '] });
    await settings.toggleLanguage('python');
    await settings.toggleLanguage('r');
    expect(settings.choices.offLanguages).toEqual(['python']);
  });
});
