// What both ends of HTTP/2 share: fields as node:http2 takes them, and the trailers of a stream.

import type { Http2Stream } from "node:http2";
import type { RawHeaders } from "./headers.ts";

/** node:http2 joins fields with null bytes, and sends what it is given otherwise. */
const UNWRITABLE = /[\0\r\n]/;

/** The fields as an HTTP/2 header has them. Throws TypeError for a value that would be read as more than one. */
export function writableFields(fields: RawHeaders): string[] {
  return fields.map((text, index) => {
    if (UNWRITABLE.test(text)) throw new TypeError("Header field has a control character");
    return index % 2 === 0 ? text.toLowerCase() : text.trim();
  });
}

/** Trailer fields as node:http2 takes them. Their names are anybody's: one may be that of what every object has. */
export function trailerBlock(fields: readonly [string, string][]): Record<string, string[]> {
  const values = new Map<string, string[]>();
  for (const [name, value] of fields) {
    const key = name.toLowerCase();
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  return Object.fromEntries(values);
}

/** Keeps the trailers of the stream; the result is undefined while the body has not ended as it should. */
export function trailersOf(stream: Http2Stream): () => RawHeaders | undefined {
  let trailers: RawHeaders = [];
  stream.once("trailers", (_trailers, _flags, raw) => {
    trailers = raw;
  });
  // A reset ends the readable side like the end of a body does.
  return () => (stream.aborted || (stream.rstCode ?? 0) !== 0 ? undefined : trailers);
}
