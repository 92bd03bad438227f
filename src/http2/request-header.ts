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

/** The fields of a request line; an empty method is none. */
interface PseudoFields {
  method: string;
  scheme: string | undefined;
  path: string | undefined;
  authority: string | undefined;
  protocol: string | undefined;
}

const KEYS = {
  ":scheme": "scheme",
  ":path": "path",
  ":authority": "authority",
  ":protocol": "protocol",
} as const;
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
    if (line === undefined) return undefined;
    const { method, scheme, path, authority, protocol } = line;
    return { method, scheme, path, authority, protocol, fields, contentLength };
  }
}

/** Whether the list may follow a request's body. */
export function isTrailer({ pseudo, fields }: HeaderList): boolean {
  return pseudo.length === 0 && readRegular(fields).isWellFormed;
}

function readPseudo(pseudo: readonly string[]): PseudoFields | undefined {
  const line: PseudoFields = {
    ...{ method: "", scheme: undefined, path: undefined, authority: undefined },
    protocol: undefined,
  };
  for (let index = 0; index + 1 < pseudo.length; index += 2) {
    const value = pseudo[index + 1] ?? "";
    if (!VALUE.test(value) || !note(line, pseudo[index], value)) return undefined;
  }
  const { method, scheme, path, authority, protocol } = line;
  if (!METHOD.test(method)) return undefined;
  const isConnect = method === "CONNECT";
  if (protocol !== undefined && !isConnect) return undefined;
  if (isConnect && authority === undefined) return undefined;
  const hasTarget = !isConnect || protocol !== undefined;
  if (hasTarget && (scheme === undefined || path === undefined || path === "")) return undefined;
  if (!hasTarget && (scheme !== undefined || path !== undefined)) return undefined;
  return line;
}

/** False for a field that is there twice, or is none. */
function note(line: PseudoFields, name: string | undefined, value: string): boolean {
  switch (name) {
    case ":method": {
      const isFirst = line.method === "";
      line.method = value;
      return isFirst;
    }
    case ":scheme":
    case ":path":
    case ":authority":
    case ":protocol": {
      const key = KEYS[name];
      const isFirst = line[key] === undefined;
      line[key] = value;
      return isFirst;
    }
    default:
      return false;
  }
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
