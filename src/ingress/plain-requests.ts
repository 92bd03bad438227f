// Reads the plain requests of one connection. The fields of a client's requests are mostly the same as those of the one
// before: when their bytes are, they are not read again, and the list is the same one.

import { MAX_HEADER_BYTES } from "./exchange.ts";
import type { Framing } from "./headers.ts";
import {
  type PlainRequestFields,
  type PlainRequestHead,
  readPlainRequestFields,
  readRequestLine,
} from "./plain-heads.ts";

const HEAD_END = "\r\n\r\n";
const [LINE_FEED, CARRIAGE_RETURN] = [10, 13];
/** Longer ones are read anew each time. */
const MAX_REMEMBERED_BYTES = 4096;

export interface ReadRequest {
  readonly head: PlainRequestHead;
  /** Where the body begins. */
  readonly end: number;
}

export class PlainRequestReader {
  /** From the end of the request line to that of the head. */
  #bytes: Buffer | undefined;
  #fields: PlainRequestFields | undefined;

  /** The request whose head the bytes begin with; undefined when it is not plain, or not all there. */
  read(bytes: Buffer): ReadRequest | undefined {
    const lineEnd = bytes.indexOf(CARRIAGE_RETURN);
    if (lineEnd < 0 || bytes[lineEnd + 1] !== LINE_FEED) return undefined;
    const line = readRequestLine(bytes.toString("latin1", 0, lineEnd));
    if (line === undefined) return undefined;
    const end = this.#knownEnd(bytes, lineEnd) ?? this.#readFields(bytes, lineEnd);
    const fields = this.#fields;
    if (end === undefined || end > MAX_HEADER_BYTES || fields === undefined) return undefined;
    return { head: headOf(line, fields), end };
  }

  #knownEnd(bytes: Buffer, lineEnd: number): number | undefined {
    const known = this.#bytes;
    if (known === undefined) return undefined;
    const end = lineEnd + known.length;
    return end <= bytes.length && known.compare(bytes, lineEnd, end) === 0 ? end : undefined;
  }

  #readFields(bytes: Buffer, lineEnd: number): number | undefined {
    const textEnd = bytes.indexOf(HEAD_END, lineEnd);
    if (textEnd < 0 || textEnd > MAX_HEADER_BYTES) return undefined;
    const end = textEnd + HEAD_END.length;
    this.#fields = readPlainRequestFields(bytes.toString("latin1", lineEnd, textEnd));
    const isShort = end - lineEnd <= MAX_REMEMBERED_BYTES;
    this.#bytes =
      isShort && this.#fields !== undefined ? Buffer.from(bytes.subarray(lineEnd, end)) : undefined;
    return end;
  }
}

function headOf(
  [method, target]: readonly [string, string],
  { fields, host, length }: PlainRequestFields,
): PlainRequestHead {
  const framing: Framing =
    length === undefined ? { kind: "none" } : { kind: "length", bytes: length };
  return { method, target, host, fields, framing, bodyBytes: Number(length ?? 0) };
}
