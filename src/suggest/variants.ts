/** What tells a suggestion from others: one that merely closes what another one leaves open is no other. */
export function essence(text: string): string {
  return text.replace(/[\s"'`)\]}]+$/, '') || text;
}
