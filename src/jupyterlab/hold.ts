/** Milliseconds that Alt must be held alone: as part of a shortcut it isn't. */
const HELD = 150;

/** Tells when Alt is held, and when it is let go or becomes part of a shortcut that leaves the page. */
export function watchAlt(
  node: HTMLElement,
  { held, released }: { held: () => void; released: () => void }
): void {
  let timer = 0;
  let isHeld = false;
  const release = () => {
    window.clearTimeout(timer);
    timer = 0;
    if (isHeld) {
      isHeld = false;
      released();
    }
  };
  node.addEventListener(
    'keydown',
    event => {
      if (event.key !== 'Alt') {
        window.clearTimeout(timer);
      } else if (!event.repeat && !isHeld) {
        window.clearTimeout(timer);
        timer = window.setTimeout(() => {
          isHeld = true;
          held();
        }, HELD);
      }
    },
    true
  );
  // Menus, dialogs and the palette, which may have the keyboard by then, are no part of the node.
  window.addEventListener(
    'keyup',
    event => {
      if (event.key === 'Alt') {
        release();
      }
    },
    true
  );
  window.addEventListener('blur', release);
}
