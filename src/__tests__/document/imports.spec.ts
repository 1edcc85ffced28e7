import {
  importPlace,
  importsAbove,
  lacking,
  withAbove
} from '../../document/imports';

/** Where an import goes, marked; the text ends at the cursor. */
const placed = (prefix: string) => {
  const at = importPlace(prefix);
  return `${prefix.slice(0, at)}║${prefix.slice(at)}`;
};

it.each([
  '║',
  '║x = ',
  '║x = 1\ny = ',
  '║\nx = ',
  'import os\n║',
  'import os\n║x = ',
  'import os\n\nfrom a import (\n    b,\n    c,\n)\n║\nx = ',
  'import os, \\\n    sys\n║x = ',
  'import os  # it (all)\n║x = ',
  'import os\n║# why\nx = ',
  'import os\n║\n# Section\n\nx = ',
  'import os\n%matplotlib inline\nimport sys\n║x = ',
  '║x = 1\nimport os\ny = ',
  '║from a import (\n    ',
  '║try:\n    import os\nexcept',
  '║important = 1\nx = ',
  'from __future__ import annotations\n║x = ',
  '"""What it is.\n\nMore.\n"""\n║\nx = ',
  "'''One line.'''\nfrom __future__ import annotations\n║\nx = ",
  '║"""Not over\nx = ',
  '%%time\n║x = ',
  '%load_ext a\n!pip install numpy\n║x = ',
  '%%time\n# why\n\n║x = ',
  '#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n║x = ',
  '#| label: figure\n║x = ',
  '# %% first\n║x = ',
  '║# Plot it\nx = ',
  '# Copyright\n# and so on\n\n║x = ',
  '# Copyright\n\n║# Plot it\nx = '
])('belongs at the beginning, below what must be first: %j', text => {
  expect(placed(text.replace('║', ''))).toBe(text);
});

it('takes time in proportion to the text', () => {
  for (const unit of [
    '\n',
    '#\n',
    'import a\n',
    'from a import (',
    '"""',
    '%\n',
    ' '
  ]) {
    expect(importPlace(unit.repeat(100_000))).toBeGreaterThanOrEqual(0);
  }
});

it('comes once its name is there', () => {
  const imports = [
    'import numpy as np',
    'from pathlib import Path',
    'import os',
    'import xml.dom'
  ];
  const above = (prefix: string, text: string) =>
    importsAbove(prefix, text, imports)?.text;
  expect(above('x = ', 'np')).toBe('import numpy as np\n');
  expect(above('x = np.', 'ones(3)')).toBe('import numpy as np\n');
  expect(above('', 'Path(os.path)')).toBe(
    'from pathlib import Path\nimport os\n'
  );
  expect(above('', 'xml.dom')).toBe('import xml.dom\n');
  expect(above('x', ' = ')).toBeUndefined();
  expect(above('snp = a.np', ' + np1')).toBeUndefined();
});

it('comes once', () => {
  const prefix = 'import os\nx = ';
  expect(lacking(prefix, ['import os', 'import sys'])).toEqual(['import sys']);
  const above = importsAbove(prefix, 'os.path, sys.path', [
    'import os',
    'import sys'
  ]);
  expect(withAbove(prefix, above)).toBe('import os\nimport sys\nx = ');
  expect(withAbove(prefix, null)).toBe(prefix);
});
