// Heads of HTTP/1.1 messages that are plain: one reading only, nothing of the connection but that it is kept, and a body
// of known length. A head that is not plain is no error: node:http's parser reads it, and refuses what is wrong. So what
// is accepted here must be a subset of what that parser accepts, with the same meaning.

import { MAX_FIELDS } from "./exchange.ts";
import type { Framing, RawHeaders } from "./headers.ts";

export interface PlainRequestHead {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly fields: RawHeaders;
  readonly framing: Framing;
  readonly bodyBytes: number;
}

export interface PlainResponseHead {
  readonly status: number;
  readonly message: string;
  readonly fields: RawHeaders;
  readonly bodyBytes: number;
  /** The application takes another request on the connection, and waits longer for it than we do. */
  readonly isKept: boolean;
}

const REQUEST_LINE = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \/[!"$-~]* HTTP\/1\.1$/;
const VERSION = " HTTP/1.1";
const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d) ([A-Za-z][\x20-\x7e]*)$/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Control characters; a carriage return or line feed that is left in a line would end it for some readers. */
const NOT_IN_VALUES = /[^\t\x20-\x7e\x80-\xff]/;
const LENGTH = /^\d{1,15}$/;
/** Of HTTP/1.1; neither a length nor chunks say that there is a body. */
export const BODILESS_STATUSES: ReadonlySet<number> = new Set([204, 304]);
export const HEAD_END = "\r\n\r\n";
/** Longer heads are read anew each time. */
export const MAX_REMEMBERED_BYTES = 4096;
/** Applications that close an idle connection sooner than this (`Keep-Alive: timeout`) are not asked twice on it. */
const SHORTEST_KEEP_ALIVE_S = 3;
/** Fields that ask for more than an answer, or frame the message otherwise. */
const NOT_PLAIN = new Set([
  "expect",
  "http2-settings",
  "proxy-connection",
  "sec-websocket-protocol",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "x-aws-proxy-force-h2",
  "x-torpor-timing",
]);
const [TAB, SPACE] = [9, 32];

/** What the fields of a plain request say. */
export interface PlainRequestFields {
  readonly fields: RawHeaders;
  readonly host: string;
  /** `Content-Length`. */
  readonly length: string | undefined;
}

/** Method and target; undefined for a request that is not plain. */
export function readRequestLine(line: string): readonly [string, string] | undefined {
  if (!REQUEST_LINE.test(line)) return undefined;
  const space = line.indexOf(" ");
  return [line.slice(0, space), line.slice(space + 1, -VERSION.length)];
}

/** Reads fields, a line break before each of them; undefined when the request is not plain for them. */
export function readPlainRequestFields(text: string): PlainRequestFields | undefined {
  const read = readFields(text, 0);
  if (read?.host === undefined) return undefined;
  const { fields, host, length } = read;
  if (fields.length > MAX_FIELDS * 2) return undefined;
  if (read.connection !== undefined && read.connection !== "keep-alive") return undefined;
  return { fields, host, length };
}

/** Reads the head of the response to a request of `method`; undefined when it is not plain. */
export function readPlainResponse(head: string, method: string): PlainResponseHead | undefined {
  const lineEnd = head.indexOf("\r\n");
  const line = STATUS_LINE.exec(lineEnd < 0 ? head : head.slice(0, lineEnd));
  const read = line === null ? undefined : readFields(head, lineEnd);
  if (read === undefined || line === null) return undefined;
  const { fields, connection = "keep-alive" } = read;
  if (connection !== "keep-alive" && connection !== "close") return undefined;
  const status = Number(line[1]);
  const isBodiless = method === "HEAD" || BODILESS_STATUSES.has(status);
  if (read.length === undefined && !isBodiless) return undefined;
  return {
    ...{ status, message: line[2] ?? "", fields },
    bodyBytes: isBodiless ? 0 : Number(read.length),
    isKept: connection === "keep-alive" && read.keepAliveS >= SHORTEST_KEEP_ALIVE_S,
  };
}

interface PlainFields {
  readonly fields: string[];
  host?: string;
  length?: string;
  connection?: string;
  keepAliveS: number;
}

/** The fields after the first line; undefined when one of them is not plain or decides a thing twice. */
function readFields(head: string, lineEnd: number): PlainFields | undefined {
  const read: PlainFields = { fields: [], keepAliveS: Infinity };
  let start = lineEnd;
  while (start >= 0) {
    start += 2;
    const next = head.indexOf("\r\n", start);
    const end = next < 0 ? head.length : next;
    const colon = head.indexOf(":", start);
    if (colon < 0 || colon > end) return undefined;
    const name = head.slice(start, colon);
    if (!FIELD_NAME.test(name)) return undefined;
    const value = trimmed(head, colon + 1, end);
    if (NOT_IN_VALUES.test(value)) return undefined;
    if (!note(read, name.toLowerCase(), value)) return undefined;
    read.fields.push(name, value);
    start = next;
  }
  return read;
}

/** Remembers what the field decides; false when the message is not plain for it. */
function note(read: PlainFields, key: string, value: string): boolean {
  switch (key) {
    case "host":
      if (read.host !== undefined) return false;
      read.host = value;
      return true;
    case "content-length":
      if (read.length !== undefined || !LENGTH.test(value)) return false;
      read.length = value;
      return true;
    case "connection":
      if (read.connection !== undefined) return false;
      read.connection = value.toLowerCase();
      return true;
    case "keep-alive":
      read.keepAliveS = Number(/^timeout=(\d{1,6})\b/.exec(value)?.[1] ?? 0);
      return true;
    default:
      return !NOT_PLAIN.has(key);
  }
}

/** Without the blanks around; String.trim takes more than those. */
function trimmed(head: string, from: number, to: number): string {
  let [start, end] = [from, to];
  while (start < end && isBlank(head.charCodeAt(start))) start += 1;
  while (end > start && isBlank(head.charCodeAt(end - 1))) end -= 1;
  return head.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** The fields as they go over the wire, a line break behind each. */
export function fieldLines(fields: RawHeaders): string {
  let text = "";
  for (let index = 0; index + 1 < fields.length; index += 2) {
    text += `${fields[index] ?? ""}: ${fields[index + 1] ?? ""}\r\n`;
  }
  return text;
}

/** The first line and the fields as they go over the wire, the empty line included. */
export function headText(firstLine: string, fields: RawHeaders): string {
  return `${firstLine}\r\n${fieldLines(fields)}\r\n`;
}

/**
 * The informational response of early hints. Not node:http's: its check of the value throws, and takes time that doubles
 * with each parameter of a bad one.
 */
export function earlyHints(link: string | string[]): string {
  return headText("HTTP/1.1 103 Early Hints", ["Link", [link].flat().join(", ")]);
}
