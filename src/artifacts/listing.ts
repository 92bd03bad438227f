// One page of a bucket's objects as S3 lists them: in byte order, keys below a delimiter rolled up into prefixes. Pure
// over a scan, so that it needs no database.

import type { ObjectSummary } from "./records.ts";
import { keyBytes } from "./rows.ts";

export interface ListQuery {
  readonly prefix: string;
  /** Empty for none. */
  readonly delimiter: string;
  /** Only what comes after this key or rolled-up prefix; empty for everything. */
  readonly after: string;
  readonly limit: number;
}

export type ListEntry =
  | { readonly kind: "object"; readonly object: ObjectSummary }
  | { readonly kind: "prefix"; readonly prefix: string };

export interface ListPage {
  readonly entries: readonly ListEntry[];
  /** The `after` of the next page; undefined on the last one. */
  readonly next: string | undefined;
}

/** Objects with `from <= key < before` in byte order. */
export type Scan = (from: Uint8Array, before: Uint8Array) => Iterable<ObjectSummary>;

/** Reads one page. A rolled-up prefix costs one scan, however many keys it stands for. */
export function listPage(scan: Scan, query: ListQuery): ListPage {
  if (query.limit === 0) return { entries: [], next: undefined };
  const entries: ListEntry[] = [];
  const before = pastPrefix(keyBytes(query.prefix));
  let from = firstPosition(query);
  for (;;) {
    const step = scanStep(scan(from, before), query, entries);
    if (step === "end") return { entries, next: undefined };
    if (step === "full") return { entries, next: nameOf(entries.at(-1)) };
    from = pastPrefix(keyBytes(step.skip));
  }
}

/** Takes objects until the page is full or a prefix rolls the rest of them up. */
function scanStep(
  objects: Iterable<ObjectSummary>,
  { prefix, delimiter, after, limit }: ListQuery,
  entries: ListEntry[],
): "end" | "full" | { skip: string } {
  for (const object of objects) {
    const rolledUp = rollUp(object.key, prefix, delimiter);
    if (rolledUp !== undefined && rolledUp === after) return { skip: rolledUp };
    if (entries.length === limit) return "full";
    if (rolledUp !== undefined) {
      entries.push({ kind: "prefix", prefix: rolledUp });
      return { skip: rolledUp };
    }
    entries.push({ kind: "object", object });
  }
  return "end";
}

function rollUp(key: string, prefix: string, delimiter: string): string | undefined {
  if (delimiter === "") return undefined;
  const at = key.indexOf(delimiter, prefix.length);
  return at === -1 ? undefined : key.slice(0, at + delimiter.length);
}

function firstPosition({ prefix, after }: ListQuery): Uint8Array {
  const start = keyBytes(prefix);
  if (after === "") return start;
  // The next possible key in byte order is the same one with a zero byte.
  const next = Buffer.concat([keyBytes(after), Buffer.alloc(1)]);
  return Buffer.compare(start, next) > 0 ? start : next;
}

/** The first position after every key with this prefix. */
function pastPrefix(prefix: Buffer): Uint8Array {
  // No byte of UTF-8 is 0xff, so it sorts after every key and the last byte can always be raised.
  if (prefix.length === 0) return Buffer.from([0xff]);
  const past = Buffer.from(prefix);
  past[past.length - 1] = (past.at(-1) ?? 0) + 1;
  return past;
}

function nameOf(entry: ListEntry | undefined): string | undefined {
  return entry?.kind === "prefix" ? entry.prefix : entry?.object.key;
}
