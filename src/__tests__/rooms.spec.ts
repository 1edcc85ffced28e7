import fs from 'fs';
import path from 'path';

/** From the lowest room to the highest; a file needs only its own room and lower ones. */
const ROOMS = [
  'icon.ts',
  'server',
  'choices.ts',
  'settings.ts',
  'document',
  'jupyterlab',
  'suggest',
  'commands',
  'ui',
  'index.ts'
];
const SOURCES = path.resolve(__dirname, '..');

/** Each source file's imports of others, types too, as paths from `src`. */
const imports = new Map(
  fs
    .readdirSync(SOURCES, { recursive: true, encoding: 'utf-8' })
    .filter(file => /\.tsx?$/.test(file) && !/__tests__|\.d\.ts$/.test(file))
    .map(file => [file.replace(/\.tsx?$/, ''), importsOf(file)])
);

function importsOf(file: string): string[] {
  const source = fs.readFileSync(path.join(SOURCES, file), 'utf-8');
  return [...source.matchAll(/from '(\.[^']*)'/g)]
    .map(([, target]) => path.join(path.dirname(file), target))
    .filter(target => !/\.(py|R)$/.test(target));
}

function rank(file: string): number {
  const room = file.split(path.sep)[0];
  return ROOMS.findIndex(name => name.replace('.ts', '') === room);
}

it('needs only lower rooms', () => {
  for (const [file, targets] of imports) {
    expect([file, rank(file)]).not.toEqual([file, -1]);
    const higher = targets.filter(target => rank(target) > rank(file));
    expect([file, higher]).toEqual([file, []]);
  }
});

it('has no circles', () => {
  const reaches = (from: string, seen: Set<string>): Set<string> => {
    for (const target of imports.get(from) ?? []) {
      if (!seen.has(target)) {
        reaches(target, seen.add(target));
      }
    }
    return seen;
  };
  const circles = [...imports.keys()].filter(file =>
    reaches(file, new Set()).has(file)
  );
  expect(circles).toEqual([]);
});
