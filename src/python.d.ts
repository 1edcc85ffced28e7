/** A Python file, as its text. */
declare module '*.py' {
  const source: string;
  export default source;
}
