import fs from 'fs';
import os from 'os';
import path from 'path';

import { TranslationManager } from '@jupyterlab/translation';
import ts from 'typescript';

/** What stands between a context and a text in a catalogue's keys. */
const DELIMITER = '\u0004';
const SOURCES = path.resolve(__dirname, '..');
const LOCALES = path.resolve(SOURCES, '../santajupyter/locale');

/** How many of a call's arguments are texts, contexts included. */
const CALLS: Record<string, number> = { __: 1, _n: 2, _p: 2, _np: 3 };

/** A text that is to be translated: its key in a catalogue, and its forms in English. */
interface IText {
  key: string;
  forms: string[];
}

/** A string, also where it is put together of several. */
function literal(node: ts.Node | undefined): string | null {
  if (node && ts.isStringLiteralLike(node)) {
    return node.text;
  }
  if (node && ts.isBinaryExpression(node)) {
    const parts = [literal(node.left), literal(node.right)];
    return parts.includes(null) ? null : parts.join('');
  }
  return null;
}

function textsIn(file: string): IText[] {
  const source = ts.createSourceFile(
    file,
    fs.readFileSync(file, 'utf-8'),
    ts.ScriptTarget.Latest,
    true,
    file.endsWith('x') ? ts.ScriptKind.TSX : ts.ScriptKind.TS
  );
  const texts: IText[] = [];
  const visit = (node: ts.Node): void => {
    if (
      ts.isCallExpression(node) &&
      ts.isPropertyAccessExpression(node.expression) &&
      node.expression.name.text in CALLS
    ) {
      const call = node.expression.name.text;
      const strings = node.arguments.slice(0, CALLS[call]).map(literal);
      const context = call.includes('p')
        ? `${strings.shift()}${DELIMITER}`
        : '';
      if (strings.includes(null)) {
        throw new Error(
          `${file}: a text that isn't literal: ${node.getText()}`
        );
      }
      const forms = strings as string[];
      texts.push({ key: context + forms[0], forms });
    }
    node.forEachChild(visit);
  };
  visit(source);
  return texts;
}

/** The texts of the settings, in the contexts by which JupyterLab looks them up. */
function textsOfSchema(): IText[] {
  const schema = JSON.parse(
    fs.readFileSync(path.resolve(SOURCES, '../schema/plugin.json'), 'utf-8')
  ) as Node;
  const texts: IText[] = [];
  const visit = (node: Node, where: string): void => {
    for (const [key, value] of Object.entries(node)) {
      const context = contextOf(where, key);
      if (typeof value === 'string' && context) {
        texts.push({ key: context + DELIMITER + value, forms: [value] });
      } else if (typeof value === 'object' && value !== null) {
        visit(value as Node, `${where}/${key}`);
      }
    }
  };
  visit(schema, '');
  return texts;
}

type Node = Record<string, unknown>;

function contextOf(where: string, key: string): string | null {
  if (key === 'jupyter.lab.setting-icon-label') {
    return 'settings';
  }
  if (key === 'label' && where.startsWith('/jupyter.lab.menus')) {
    return 'menu';
  }
  if (key === 'title' || key === 'description') {
    return where.startsWith('/properties') ? 'settings' : 'schema';
  }
  return null;
}

const texts = [
  ...textsOfSchema(),
  ...fs
    .readdirSync(SOURCES, { recursive: true, encoding: 'utf-8' })
    .filter(file => /\.tsx?$/.test(file) && !/__tests__/.test(file))
    .flatMap(file => textsIn(path.join(SOURCES, file)))
];
const forms = new Map(texts.map(({ key, forms }) => [key, forms]));

/** What stands for numbers and names in a text: %1, %2, or %. */
const places = (text: string) => (text.match(/%\d?/g) ?? []).sort();

describe.each(fs.readdirSync(LOCALES))('the catalogue %s', locale => {
  const { '': head, ...catalogue } = JSON.parse(
    fs.readFileSync(
      path.join(LOCALES, locale, 'LC_MESSAGES/santajupyter.json'),
      'utf-8'
    )
  ) as Record<string, string[]> & { '': Node };
  const plurals = Number(/nplurals=(\d)/.exec(String(head.plural_forms))?.[1]);

  it('is what JupyterLab takes for this locale', async () => {
    const data = { santajupyter: { '': head, ...catalogue } };
    const manager = new TranslationManager('', undefined, undefined, {
      fetch: () => Promise.resolve({ data, message: '' })
    } as never);
    await manager.fetch(locale);
    const trans = manager.load('santajupyter');
    for (const [key, translated] of Object.entries(catalogue)) {
      const [text, context] = key.split(DELIMITER).reverse();
      const forms = translated.map((_, n) =>
        translated.length > 1
          ? trans.dcnpgettext('', '', text, text, 1 + n, '%2')
          : context
            ? trans._p(context, text, '%1', '%2')
            : trans.gettext(text, '%1', '%2')
      );
      const filled = translated.map((form, n) =>
        translated.length > 1 ? form.replaceAll('%1', `${1 + n}`) : form
      );
      expect(forms).toEqual(filled);
    }
  });

  it('has every text, and no other', () => {
    const has = Object.keys(catalogue);
    expect({
      missing: [...forms.keys()].filter(key => !(key in catalogue)),
      stale: has.filter(key => !forms.has(key))
    }).toEqual({ missing: [], stale: [] });
  });

  it('has each form, with the same places for numbers and names', () => {
    for (const [key, english] of forms) {
      const translated = catalogue[key];
      expect([key, translated.length]).toEqual([
        key,
        english.length === 1 ? 1 : plurals
      ]);
      for (const text of translated) {
        expect(text.trim()).not.toBe('');
        expect([key, places(text)]).toEqual([key, places(english[0])]);
      }
    }
  });
});

it('finds the texts of all ways to translate', () => {
  const file = path.join(os.tmpdir(), 'texts.tsx');
  fs.writeFileSync(
    file,
    "a.__('one' + ' two', x); <p>{this._trans._n('1', 'n', 2)}</p>; b._p('c', 'd'); b._np('c', 'e', 'f', 2);"
  );
  const d = DELIMITER;
  expect(textsIn(file)).toEqual([
    { key: 'one two', forms: ['one two'] },
    { key: '1', forms: ['1', 'n'] },
    { key: `c${d}d`, forms: ['d'] },
    { key: `c${d}e`, forms: ['e', 'f'] }
  ]);
  fs.writeFileSync(file, 'a.__(text);');
  expect(() => textsIn(file)).toThrow("isn't literal");
});
