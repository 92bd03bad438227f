// The tables of HPACK (RFC 7541, 2.3): one index space, the static table first, then the dynamic one, newest entry first.

/** RFC 7541, Appendix A, from index 1 on: a name, or a name and its value. */
const STATIC_TABLE = [
  ":authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https",
  ":status=200|:status=204|:status=206|:status=304|:status=400|:status=404|:status=500",
  "accept-charset|accept-encoding=gzip, deflate|accept-language|accept-ranges|accept",
  "access-control-allow-origin|age|allow|authorization|cache-control|content-disposition",
  "content-encoding|content-language|content-length|content-location|content-range|content-type",
  "cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range",
  "if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate",
  "proxy-authorization|range|referer|refresh|retry-after|server|set-cookie",
  "strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate",
]
  .join("|")
  .split("|")
  .map((entry) => entry.split("="));

/** By index; there is no index 0. */
export const STATIC_NAMES: readonly string[] = ["", ...STATIC_TABLE.map(([name = ""]) => name)];
export const STATIC_VALUES: readonly string[] = [
  "",
  ...STATIC_TABLE.map(([, value = ""]) => value),
];

/** What an entry counts for beyond its name and value, in a table (RFC 7541, 4.1) as in a list (RFC 9113, 6.5.2). */
export const ENTRY_OVERHEAD = 32;

/**
 * The static and the dynamic table of one direction of a connection. Indexes must be within `lastIndex`.
 *
 * INVARIANT: `generation` differs whenever the entries, or the room for them, may do.
 */
export class HpackTable {
  /** A ring: the newest entry is the one before `#next`. Slots without an entry hold no strings alive. */
  readonly #names: string[];
  readonly #values: string[];
  readonly #mask: number;
  #next = 0;
  #count = 0;
  #bytes = 0;
  #room: number;
  #generation = 0;

  /** `room` is what the table may hold at first, `largestRoom` what it may ever; both in bytes. */
  constructor(room: number, largestRoom: number) {
    const mostEntries = Math.floor(Math.max(room, largestRoom) / ENTRY_OVERHEAD);
    const slots = 2 ** Math.ceil(Math.log2(Math.max(mostEntries, 1)));
    this.#names = new Array<string>(slots).fill("");
    this.#values = new Array<string>(slots).fill("");
    this.#mask = slots - 1;
    this.#room = room;
  }

  get generation(): number {
    return this.#generation;
  }

  get lastIndex(): number {
    return STATIC_NAMES.length - 1 + this.#count;
  }

  nameAt(index: number): string {
    return (
      (index < STATIC_NAMES.length ? STATIC_NAMES[index] : this.#names[this.#slot(index)]) ?? ""
    );
  }

  valueAt(index: number): string {
    return (
      (index < STATIC_NAMES.length ? STATIC_VALUES[index] : this.#values[this.#slot(index)]) ?? ""
    );
  }

  /** Evicts what has no room beside the new entry, which is then added if it has room itself (RFC 7541, 4.4). */
  insert(name: string, value: string): void {
    const size = name.length + value.length + ENTRY_OVERHEAD;
    this.#generation += 1;
    this.#evictDownTo(this.#room - size);
    if (size > this.#room) return;
    this.#names[this.#next] = name;
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) & this.#mask;
    this.#count += 1;
    this.#bytes += size;
  }

  /** Sets what the table may hold; `room` is not above `largestRoom`. */
  resize(room: number): void {
    this.#generation += 1;
    this.#room = room;
    this.#evictDownTo(room);
  }

  #slot(index: number): number {
    return (this.#next - 1 - (index - STATIC_NAMES.length)) & this.#mask;
  }

  #evictDownTo(bytes: number): void {
    while (this.#bytes > bytes && this.#count > 0) {
      const oldest = (this.#next - this.#count) & this.#mask;
      const [name = "", value = ""] = [this.#names[oldest], this.#values[oldest]];
      this.#bytes -= name.length + value.length + ENTRY_OVERHEAD;
      this.#names[oldest] = "";
      this.#values[oldest] = "";
      this.#count -= 1;
    }
  }
}
