import type { CodeEditor } from '@jupyterlab/codeeditor';

import { CursorNote } from '../../ui/cursornote';

/** Shows a word of 200 x 20 pixels at a cursor, in a window of 1024 x 768. */
function show(left: number, top: number): CSSStyleDeclaration {
  const note = new CursorNote();
  const node = document.body.lastElementChild as HTMLElement;
  node.getBoundingClientRect = () => ({ width: 200, height: 20 }) as DOMRect;
  note.show(
    {
      getCursorPosition: () => ({ line: 0, column: 0 }),
      getCoordinateForPosition: () => ({ left, top, bottom: top + 17 })
    } as unknown as CodeEditor.IEditor,
    'Off here.'
  );
  note.hide();
  return node.style;
}

it('is below the cursor, and never beyond the window', () => {
  expect(show(300, 100)).toMatchObject({ left: '300px', top: '117px' });
  expect(show(1000, 100)).toMatchObject({ left: '824px', top: '117px' });
  expect(show(300, 750)).toMatchObject({ left: '300px', top: '730px' });
});
