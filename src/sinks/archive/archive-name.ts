/** Whether a destination is an archive or a set of them, by its name. */
export function isArchiveName(place: string): boolean {
  return /\.(?:tar|mcap)$/i.test(place);
}
