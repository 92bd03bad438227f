// Which header makes a request (RFC 9113, 8.2 and 8.3, and RFC 8441, 4, for CONNECT with a protocol). One that does not is
// malformed, and its stream is reset.

import type { HeaderList } from "./hpack-decoder.ts";

export interface RequestHeader {
  readonly method: string;
  /** Undefined for CONNECT without a protocol. */
  readonly scheme: string | undefined;
  readonly path: string | undefined;
  readonly authority: string | undefined;
  readonly protocol: string | undefined;
  /** Regular fields: name and value in turn; the very same list while the client sends the same. */
  readonly fields: readonly string[];
  readonly contentLength: number | undefined;
}

const PSEUDO_FIELDS = new Set([":method", ":scheme", ":path", ":authority", ":protocol"]);
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** No control characters but tabs, and no blanks around. */
const VALUE = /^(?:[^\0-\x20\x7f](?:[^\0-\x08\x0a-\x1f\x7f]*[^\0-\x20\x7f])?)?$/;
const LENGTH = /^\d{1,15}$/;
/** They are HTTP/1.1's (8.2.2). */
const NOT_IN_HTTP2 = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

interface RegularFields {
  readonly isWellFormed: boolean;
  readonly contentLength: number | undefined;
}

const MALFORMED: RegularFields = { isWellFormed: false, contentLength: undefined };

/** Reads the headers of one connection's requests; fields that are the same as the last ones are not looked at again. */
export class RequestHeaderReader {
  #fields: readonly string[] | undefined;
  #known: RegularFields = { isWellFormed: true, contentLength: undefined };

  /** Undefined when the header is malformed. */
  read({ pseudo, fields }: HeaderList): RequestHeader | undefined {
    if (fields !== this.#fields) {
      this.#known = readRegular(fields);
      this.#fields = fields;
    }
    const { isWellFormed, contentLength } = this.#known;
    const line = isWellFormed ? readPseudo(pseudo) : undefined;
    return line && { ...line, fields, contentLength };
  }
}

/** Whether the list may follow a request's body. */
export function isTrailer({ pseudo, fields }: HeaderList): boolean {
  return pseudo.length === 0 && readRegular(fields).isWellFormed;
}

function readPseudo(
  pseudo: readonly string[],
): Omit<RequestHeader, "fields" | "contentLength"> | undefined {
  const values: Record<string, string | undefined> = {};
  for (let index = 0; index + 1 < pseudo.length; index += 2) {
    const [name = "", value = ""] = [pseudo[index], pseudo[index + 1]];
    if (!PSEUDO_FIELDS.has(name) || values[name] !== undefined || !VALUE.test(value))
      return undefined;
    values[name] = value;
  }
  const { ":method": method, ":scheme": scheme, ":path": path } = values;
  const { ":authority": authority, ":protocol": protocol } = values;
  if (method === undefined || !METHOD.test(method)) return undefined;
  const isConnect = method === "CONNECT";
  if (protocol !== undefined && !isConnect) return undefined;
  if (isConnect && authority === undefined) return undefined;
  const hasTarget = !isConnect || protocol !== undefined;
  if (hasTarget && (scheme === undefined || path === undefined || path === "")) return undefined;
  if (!hasTarget && (scheme !== undefined || path !== undefined)) return undefined;
  return { method, scheme, path, authority, protocol };
}

function readRegular(fields: readonly string[]): RegularFields {
  let contentLength: number | undefined;
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [name = "", value = ""] = [fields[index], fields[index + 1]];
    const isFine =
      NAME.test(name) &&
      VALUE.test(value) &&
      !NOT_IN_HTTP2.has(name) &&
      (name !== "te" || value.toLowerCase() === "trailers");
    if (!isFine) return MALFORMED;
    if (name !== "content-length") continue;
    if (contentLength !== undefined || !LENGTH.test(value)) return MALFORMED;
    contentLength = Number(value);
  }
  return { isWellFormed: true, contentLength };
}
