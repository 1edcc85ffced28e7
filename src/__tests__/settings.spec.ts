import { Settings } from '../settings';

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

/** The user's settings, as the registry holds them. */
async function settingsOf(composite: object): Promise<Settings> {
  const stored = { composite, changed: { connect: () => true } };
  const registry = { load: () => Promise.resolve(stored) };
  const settings = new Settings('id', registry as never);
  await settings.ready;
  return settings;
}

describe('Settings', () => {
  it('leave out languages, however they are spelt', async () => {
    const settings = await settingsOf({ offLanguages: ['Julia', ' r '] });
    const languages = ['python', 'julia', 'r', 'rust'];
    expect(languages.map(name => settings.areWantedIn(name, null))).toEqual([
      true,
      false,
      false,
      true
    ]);
  });

  it('let each notebook choose, and nothing where all is off', async () => {
    const off = notebook({ santajupyter: { enabled: false } });
    const on = await settingsOf({});
    expect(on.areWantedIn('python', off)).toBe(false);
    expect(on.areWantedIn('python', notebook())).toBe(true);
    const none = await settingsOf({ enabled: false });
    expect(none.areWantedIn('python', notebook())).toBe(false);
  });

  it('take metadata of another shape for no choice', async () => {
    const settings = await settingsOf({});
    for (const santajupyter of [null, 'off', [], { enabled: 0 }]) {
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
});
