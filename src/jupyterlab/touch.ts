/** Accepts one of the ghosts that match by a tap: who has no keys, and no pointer to hover with, has no other way. */
export function watchTaps(ghosts: string, accept: () => void): void {
  let isTouch = false;
  const isOnGhost = ({ target }: Event) =>
    target instanceof Element && target.closest(ghosts) !== null;
  // JupyterLab ends a ghost as the document hears of the touch.
  window.addEventListener(
    'pointerdown',
    event => {
      isTouch = event.pointerType === 'touch' && isOnGhost(event);
      if (isTouch) {
        event.stopPropagation();
        // Or the browser moves the cursor.
        event.preventDefault();
      }
    },
    true
  );
  // No click comes where the finger moves on, to scroll.
  window.addEventListener(
    'click',
    event => {
      if (isTouch && isOnGhost(event)) {
        event.stopPropagation();
        event.preventDefault();
        accept();
      }
      isTouch = false;
    },
    true
  );
}
