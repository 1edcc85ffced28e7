/** A Python file, as its text. */
declare module '*.py' {
  const source: string;
  export default source;
}

/** An R file, as its text. */
declare module '*.R' {
  const source: string;
  export default source;
}
