/** A cursor: which editor it is in, and the text on its left and right. */
export interface IPlace {
  editor: string;
  prefix: string;
  suffix: string;
}
