// Which header fields cross the ingress, in either direction. Fields keep their order, spelling and repetitions; what
// belongs to one connection only (RFC 9110, 7.6.1), frames the message or speaks to the ingress does not cross.

import { parseSubprotocols } from "./subprotocols.ts";

/** Name and value in turn, as node:http reads and writes them raw. */
export type RawHeaders = readonly string[];

/** How a request's body is delimited on the wire. */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: string }
  | { readonly kind: "chunked" };

export const REQUEST_ID_HEADER = "x-amzn-requestid";
const PROXY_PREFIX = "x-aws-proxy-";
/** Asks for `Server-Timing` in the response; ours alone, so not named like the original's fields. */
export const TIMING_HEADER = "x-torpor-timing";
/** Has the ingress speak HTTP/2 with the application. */
export const FORCE_H2_HEADER = "x-aws-proxy-force-h2";

/** Of the connection, or of the message's framing; the request's identity is ours. */
const OF_ONE_CONNECTION = new Set([
  "connection",
  "content-length",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  REQUEST_ID_HEADER,
]);
const NOTHING_LISTED: ReadonlySet<string> = new Set();
/**
 * A `Connection` field that names one of these is not obeyed: the message would mean something else without it. Nor is one
 * that names a field of the request's origin: a client would have the application not see who it is.
 */
const END_TO_END_FIELDS = new Set([
  "host",
  "authorization",
  "cookie",
  "set-cookie",
  "content-type",
  "trailer",
]);
/**
 * Fields that say where a request came from, in all the spellings that applications look at: to many of them an underscore
 * is a hyphen.
 */
const TELLS_ORIGIN =
  /^(?:forwarded|x[-_]forwarded[-_].*|(?:x[-_](?:real|client|cluster[-_]client)|true[-_]client|cf[-_]connecting|fastly[-_]client)[-_]ip|x[-_]original[-_]forwarded[-_]for|x[-_]envoy[-_]external[-_]address)$/i;
/** Trailers may not change how the message was already framed, routed or authenticated (RFC 9110, 6.5.1). */
const NOT_IN_TRAILERS = new Set([
  "host",
  "trailer",
  "authorization",
  "content-encoding",
  "content-type",
  "content-range",
]);

export interface RequestHeadersInput {
  readonly raw: RawHeaders;
  readonly framing: Framing;
  readonly requestId: string;
  /** Set for an upgrade: the protocol asked for, and the application's own sub-protocols. */
  readonly upgrade?: { readonly protocol: string; readonly subprotocols: readonly string[] };
}

/** The header of the request that the application gets. */
export function requestHeaders(input: RequestHeadersInput): string[] {
  const fields = crossingFields(input.raw, input.upgrade !== undefined);
  fields.push(REQUEST_ID_HEADER, input.requestId, ...framingFields(input.framing));
  if (input.upgrade !== undefined) {
    const { protocol, subprotocols } = input.upgrade;
    fields.push("Connection", "Upgrade", "Upgrade", protocol);
    if (subprotocols.length > 0) fields.push("Sec-WebSocket-Protocol", subprotocols.join(", "));
  }
  return fields;
}

/** The fields of a request that the application gets as they are, and whether it may send trailers. */
export function crossingFields(raw: RawHeaders, isUpgrade: boolean): string[] {
  const fields = withoutOwnSubprotocols(
    endToEndFields(
      raw,
      (name) => name === TIMING_HEADER || (isUpgrade && name === "sec-websocket-protocol"),
    ),
  );
  if (acceptsTrailers(raw)) fields.push("TE", "trailers");
  return fields;
}

/** What says how a body is delimited. */
export function framingFields(framing: Framing): string[] {
  switch (framing.kind) {
    case "none":
      return [];
    case "length":
      return ["Content-Length", framing.bytes];
    case "chunked":
      return ["Transfer-Encoding", "chunked"];
  }
}

/**
 * The header of the response that the client gets, without `Connection` and chunking, which node:http adds. Without
 * `Trailer`, which node:http then refuses to write, where the client cannot be sent any.
 */
export function responseHeaders(
  raw: RawHeaders,
  requestId: string,
  mayHaveTrailers = true,
): string[] {
  const fields = responseFields(raw, mayHaveTrailers);
  fields.push(REQUEST_ID_HEADER, requestId);
  return fields;
}

/** The same without the request's id. */
export function responseFields(raw: RawHeaders, mayHaveTrailers = true): string[] {
  const length = fieldValues(raw, "content-length")[0];
  const isChunked = fieldValues(raw, "transfer-encoding").length > 0;
  // A `Trailer` field promises what a message of known length cannot keep.
  const hasTrailers = mayHaveTrailers && length === undefined;
  const fields = endToEndFields(raw, (name) => name === "trailer" && !hasTrailers);
  if (length !== undefined && !isChunked) fields.push("Content-Length", length);
  return fields;
}

/** Name–value pairs fit to follow a chunked body. */
export function trailerFields(raw: RawHeaders): [string, string][] {
  const kept = endToEndFields(raw, (name) => NOT_IN_TRAILERS.has(name) || tellsOrigin(name));
  return Array.from({ length: kept.length / 2 }, (_, index) => [
    kept[index * 2] ?? "",
    kept[index * 2 + 1] ?? "",
  ]);
}

/** How the client frames its request; undefined when it says so in a way that two parsers could read differently. */
export function requestFraming(raw: RawHeaders): Framing | undefined {
  const codings = fieldValues(raw, "transfer-encoding");
  const lengths = fieldValues(raw, "content-length");
  if (codings.length + lengths.length > 1) return undefined;
  const [coding] = codings;
  const [bytes] = lengths;
  if (coding !== undefined)
    return coding.toLowerCase() === "chunked" ? { kind: "chunked" } : undefined;
  if (bytes !== undefined) return /^\d{1,15}$/.test(bytes) ? { kind: "length", bytes } : undefined;
  return { kind: "none" };
}

/** Whether the field says where a request came from. */
export function tellsOrigin(name: string): boolean {
  return TELLS_ORIGIN.test(name);
}

/** Every value of the field, in order. `name` is lower case. */
export function fieldValues(raw: RawHeaders, name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const field = raw[index];
    // Most are told apart by their length.
    if (field?.length === name.length && field.toLowerCase() === name)
      values.push(raw[index + 1] ?? "");
  }
  return values;
}

function endToEndFields(raw: RawHeaders, isDropped: (name: string) => boolean): string[] {
  const listed = listedFields(fieldValues(raw, "connection"));
  const fields: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? "";
    const key = name.toLowerCase();
    if (OF_ONE_CONNECTION.has(key) || listed.has(key)) continue;
    if (key.startsWith(PROXY_PREFIX) || isDropped(key)) continue;
    fields.push(name, raw[index + 1] ?? "");
  }
  return fields;
}

/** What `Connection` fields say belongs to the connection. */
function listedFields(values: readonly string[]): ReadonlySet<string> {
  if (values.length === 0 || (values.length === 1 && values[0] === "keep-alive"))
    return NOTHING_LISTED;
  const names = values
    .flatMap((value) => value.split(","))
    .map((name) => name.trim().toLowerCase());
  return new Set(names.filter((name) => !END_TO_END_FIELDS.has(name) && !tellsOrigin(name)));
}

/** A token offered as a sub-protocol must never reach the application, whatever kind of request it came with. */
function withoutOwnSubprotocols(fields: string[]): string[] {
  if (fieldValues(fields, "sec-websocket-protocol").length === 0) return fields;
  const kept: string[] = [];
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [name = "", value = ""] = [fields[index], fields[index + 1]];
    const isOffer = name.toLowerCase() === "sec-websocket-protocol";
    const rest = isOffer ? parseSubprotocols(value).foreign.join(", ") : value;
    if (!isOffer || rest !== "") kept.push(name, rest);
  }
  return kept;
}

function acceptsTrailers(raw: RawHeaders): boolean {
  return fieldValues(raw, "te").some((value) =>
    value.split(",").some((coding) => coding.trim().toLowerCase() === "trailers"),
  );
}
