const toldHere = new Set<string>();

/** Whether this browser was told before; it is from now on, or this page where nothing can be stored. */
export function wasTold(key: string): boolean {
  let told = toldHere.has(key);
  toldHere.add(key);
  try {
    told ||= localStorage.getItem(key) !== null;
    localStorage.setItem(key, 'true');
  } catch {
    // Storage is blocked, or full.
  }
  return told;
}
