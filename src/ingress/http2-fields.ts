// Fields between HTTP/1.1, as exchanges have them, and HTTP/2.

import { encodedSizeAtMost, encodeFields, writeFields } from "../http2/hpack-encoder.ts";
import type { RequestHeader } from "../http2/request-header.ts";
import type { DirectHead } from "./exchange.ts";
import {
  fieldValues,
  type Framing,
  type RawHeaders,
  REQUEST_ID_HEADER,
  requestFraming,
} from "./headers.ts";

/** They would be read as more than one field, or end a header. */
const UNWRITABLE = /[\0\r\n]/;
/** A `Host` that repeats `:authority` says nothing new. */
const REPLACED_FIELDS = new Set(["host", "cookie"]);

/** The fields as an HTTP/2 header has them. Throws TypeError for a value that would be read as more than one. */
export function writableFields(fields: RawHeaders): string[] {
  return fields.map((text, index) => {
    if (UNWRITABLE.test(text)) throw new TypeError("Header field has a control character");
    return index % 2 === 0 ? text.toLowerCase() : text.trim();
  });
}

/** The same without the fields that cannot be written, for those that need not arrive. */
export function onlyWritable(fields: RawHeaders): string[] {
  const isWritable = (index: number) =>
    [fields[index], fields[index + 1]].every((text) => !UNWRITABLE.test(text ?? ""));
  return writableFields(fields.filter((_text, index) => isWritable(index - (index % 2))));
}

/** A request's fields as HTTP/1.1 has them. */
export interface RequestFields {
  readonly authority: string;
  readonly fields: RawHeaders;
  readonly framing: Framing;
  readonly expectsContinue: boolean;
}

/**
 * What crosses between the versions on one connection: the same for the same fields, or head, of which the last ones are
 * remembered.
 */
export class Http2Fields {
  #asked:
    { readonly header: RequestHeader; readonly fields: RequestFields | undefined } | undefined;
  #answered: { readonly head: DirectHead; readonly block: Buffer } | undefined;

  /** Undefined where two readers could read two things. */
  request(header: RequestHeader): RequestFields | undefined {
    const asked = this.#asked;
    if (asked?.header.fields === header.fields && asked.header.authority === header.authority)
      return asked.fields;
    const fields = readFields(header);
    this.#asked = { header, fields };
    return fields;
  }

  /** The block of a response's header, with the request's id. */
  answer(head: DirectHead, requestId: string): Buffer {
    const { block } = this.#answered?.head === head ? this.#answered : this.#encode(head);
    const id = [REQUEST_ID_HEADER, requestId];
    const whole = Buffer.allocUnsafe(block.length + encodedSizeAtMost(id));
    return whole.subarray(0, writeFields(whole, block.copy(whole), id));
  }

  #encode(head: DirectHead): { readonly block: Buffer } {
    const fields = [":status", String(head.status), ...writableFields(head.fields)];
    this.#answered = { head, block: encodeFields(fields) };
    return this.#answered;
  }
}

function readFields({ authority, fields: given }: RequestHeader): RequestFields | undefined {
  const hosts = fieldValues(given, "host");
  const agreed = authority ?? hosts[0];
  if (agreed === undefined || hosts.length > 1) return undefined;
  if (hosts.some((host) => host.toLowerCase() !== agreed.toLowerCase())) return undefined;
  const framing = requestFraming(given);
  if (framing === undefined || framing.kind === "chunked") return undefined;
  const fields = ["Host", agreed];
  for (let index = 0; index + 1 < given.length; index += 2) {
    const name = given[index] ?? "";
    if (!REPLACED_FIELDS.has(name)) fields.push(name, given[index + 1] ?? "");
  }
  // Clients may send a cookie in crumbs to compress better (RFC 9113, 8.2.3).
  const cookies = fieldValues(given, "cookie");
  if (cookies.length > 0) fields.push("cookie", cookies.join("; "));
  const expectsContinue = fieldValues(given, "expect").some((value) =>
    /^100-continue$/i.test(value),
  );
  return { authority: agreed, fields, framing, expectsContinue };
}
