// Reads the plain requests of one connection. A client's requests are mostly like the one before: where the bytes of the
// fields are the same, they are not read again, and the list is the same one; a head that is the same is the same object.

import { MAX_HEADER_BYTES } from "./exchange.ts";
import type { Framing } from "./headers.ts";
import {
  HEAD_END,
  MAX_REMEMBERED_BYTES,
  type PlainRequestFields,
  type PlainRequestHead,
  readPlainRequestFields,
  readRequestLine,
} from "./plain-heads.ts";

const [LINE_FEED, CARRIAGE_RETURN] = [10, 13];

export interface ReadRequest {
  readonly head: PlainRequestHead;
  /** Where the body begins. */
  readonly end: number;
}

interface Remembered {
  readonly request: ReadRequest;
  /** Of the whole head. */
  readonly bytes: Buffer;
  readonly lineEnd: number;
  readonly fields: PlainRequestFields;
}

export class PlainRequestReader {
  #last: Remembered | undefined;

  /** The request whose head the bytes begin with; undefined when it is not plain, or not all there. */
  read(bytes: Buffer): ReadRequest | undefined {
    const last = this.#last;
    if (last !== undefined && beginsWith(bytes, 0, last, 0)) return last.request;
    const lineEnd = bytes.indexOf(CARRIAGE_RETURN);
    if (lineEnd < 0 || bytes[lineEnd + 1] !== LINE_FEED) return undefined;
    const line = readRequestLine(bytes.toString("latin1", 0, lineEnd));
    if (line === undefined) return undefined;
    if (last === undefined || !beginsWith(bytes, lineEnd, last, last.lineEnd))
      return this.#readAnew(bytes, line, lineEnd);
    const end = lineEnd + last.bytes.length - last.lineEnd;
    return end > MAX_HEADER_BYTES ? undefined : { head: headOf(line, last.fields), end };
  }

  #readAnew(bytes: Buffer, line: RequestLine, lineEnd: number): ReadRequest | undefined {
    const textEnd = bytes.indexOf(HEAD_END, lineEnd);
    const end = textEnd + HEAD_END.length;
    if (textEnd < 0 || end > MAX_HEADER_BYTES) return undefined;
    const fields = readPlainRequestFields(bytes.toString("latin1", lineEnd, textEnd));
    if (fields === undefined) return undefined;
    const request = { head: headOf(line, fields), end };
    if (end <= MAX_REMEMBERED_BYTES)
      this.#last = { request, fields, lineEnd, bytes: Buffer.from(bytes.subarray(0, end)) };
    return request;
  }
}

type RequestLine = readonly [method: string, target: string];

/** Whether the bytes have, from `at` on, what is remembered from `from` on. */
function beginsWith(bytes: Buffer, at: number, last: Remembered, from: number): boolean {
  const end = at + last.bytes.length - from;
  return end <= bytes.length && last.bytes.compare(bytes, at, end, from) === 0;
}

function headOf(
  [method, target]: RequestLine,
  { fields, host, length }: PlainRequestFields,
): PlainRequestHead {
  const framing: Framing =
    length === undefined ? { kind: "none" } : { kind: "length", bytes: length };
  return { method, target, host, fields, framing, bodyBytes: Number(length ?? 0) };
}
