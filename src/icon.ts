import { LabIcon } from '@jupyterlab/ui-components';

/** A knitted hat with its bobble. */
export const santaIcon = new LabIcon({
  name: 'santajupyter:icon',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">
  <g class="jp-icon3" fill="#616161">
    <path d="M2.6 10.4C3 6.3 5.4 3 9 3c2 0 3.6 1 4.6 2.7l-1.1.6c-.5-.7-1-1-1.6-1.1.9 1.4 1.5 3.2 1.6 5.2z"/>
    <circle cx="13.4" cy="7.3" r="1.6"/>
    <rect x="1.5" y="11.3" width="12" height="2.7" rx="1.35"/>
  </g>
</svg>`
});
