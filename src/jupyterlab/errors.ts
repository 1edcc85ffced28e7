import type { Cell } from '@jupyterlab/cells';

const OUTPUT = '.jp-OutputArea-child';
const OURS = 'santa-FixButton';

/** Puts a button at the end of a cell's last output, where that has a place for it. It goes as the output goes. */
export function addAtOutput(
  cell: Cell,
  label: string,
  clicked: () => void
): void {
  const outputs = cell.node.querySelectorAll<HTMLElement>(OUTPUT);
  const last = outputs[outputs.length - 1];
  const place = last?.querySelector<HTMLElement>('.jp-OutputArea-output');
  if (!place || cell.node.querySelector(`.${OURS}`)) {
    return;
  }
  const button = document.createElement('button');
  button.className = `${OURS} jp-mod-styled jp-mod-minimal`;
  button.type = 'button';
  button.textContent = label;
  button.addEventListener('click', clicked);
  place.append(button);
}
