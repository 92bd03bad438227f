// Maps that remember no more than so much.

/** Makes room for one more entry: at the limit the entries that were set first are forgotten. */
export function makeRoom<K>(map: Map<K, unknown>, limit: number): void {
  for (const oldest of map.keys()) {
    if (map.size < limit) return;
    map.delete(oldest);
  }
}
