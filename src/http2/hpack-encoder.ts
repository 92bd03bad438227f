// Encoding of header blocks (RFC 7541) without a state: nothing enters the client's dynamic table, nothing is Huffman coded.
// A table is little work for a client, which sends the same header again and again, but much for a server, which would
// search it for each field of each response, to save some bytes of what is mostly body. As it is, a client's
// SETTINGS_HEADER_TABLE_SIZE asks for no more than a word that no table is used, and blocks may be sent in another order
// than they were made.

import { STATIC_NAMES, STATIC_VALUES } from "./hpack-table.ts";

interface StaticName {
  /** The first index that has the name; those of its further values follow. */
  readonly index: number;
  readonly values: readonly string[];
  /** Whether nobody on the way may compress the value, so that none can be guessed from sizes (RFC 7541, 7.1.3). */
  readonly isSecret: boolean;
}

/** Begins the next block to a client that has set the size of its table: the size that is used, which is none. */
export const NO_TABLE = Buffer.from([0x20]);
const INDEXED = 0x80;
const WITHOUT_INDEXING = 0x00;
const NEVER_INDEXED = 0x10;
const SECRET = new Set(["authorization", "set-cookie"]);
/** Its first byte, an index or a length, or two lengths, each with a prefix and at most four more bytes. */
const MOST_BYTES_BESIDE_TEXT = 1 + 5 + 5;
/** Up to here writing byte by byte takes less than a call of Buffer's own method. */
const SHORT = 12;

const STATIC: ReadonlyMap<string, StaticName> = new Map(
  STATIC_NAMES.slice(1).map((name) => [
    name,
    {
      index: STATIC_NAMES.indexOf(name),
      values: STATIC_VALUES.filter((_, index) => STATIC_NAMES[index] === name),
      isSecret: SECRET.has(name),
    },
  ]),
);

/** A block of the fields (names, in lower case, and values alternately; latin1). */
export function encodeFields(fields: readonly string[]): Buffer {
  const block = Buffer.allocUnsafe(encodedSizeAtMost(fields));
  return block.subarray(0, writeFields(block, 0, fields));
}

/** How many bytes `writeFields` needs at most. */
export function encodedSizeAtMost(fields: readonly string[]): number {
  let size = (fields.length / 2) * MOST_BYTES_BESIDE_TEXT;
  for (const text of fields) size += text.length;
  return size;
}

/** Writes the block of the fields into `target`, which has room for it; returns where it ends. */
export function writeFields(target: Buffer, offset: number, fields: readonly string[]): number {
  let at = offset;
  for (let index = 0; index + 1 < fields.length; index += 2)
    at = writeField(target, at, fields[index] ?? "", fields[index + 1] ?? "");
  return at;
}

function writeField(target: Buffer, offset: number, name: string, value: string): number {
  const known = STATIC.get(name);
  if (known === undefined) {
    target[offset] = WITHOUT_INDEXING;
    return writeString(target, writeString(target, offset + 1, name), value);
  }
  const exact = known.isSecret ? -1 : known.values.indexOf(value);
  if (exact !== -1) return writeInteger(target, offset, INDEXED, 0x7f, known.index + exact);
  const kind = known.isSecret ? NEVER_INDEXED : WITHOUT_INDEXING;
  return writeString(target, writeInteger(target, offset, kind, 0x0f, known.index), value);
}

function writeString(target: Buffer, offset: number, text: string): number {
  const at = writeInteger(target, offset, 0, 0x7f, text.length);
  if (text.length > SHORT) return at + target.write(text, at, "latin1");
  for (let index = 0; index < text.length; index += 1) target[at + index] = text.charCodeAt(index);
  return at + text.length;
}

/** RFC 7541, 5.1. */
function writeInteger(
  target: Buffer,
  offset: number,
  kind: number,
  prefix: number,
  value: number,
): number {
  if (value < prefix) {
    target[offset] = kind | value;
    return offset + 1;
  }
  target[offset] = kind | prefix;
  let at = offset + 1;
  let rest = value - prefix;
  for (; rest > 0x7f; rest >>>= 7) target[at++] = (rest & 0x7f) | 0x80;
  target[at] = rest;
  return at + 1;
}
