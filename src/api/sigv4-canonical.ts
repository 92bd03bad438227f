// The canonical request of AWS Signature Version 4: what both sides hash. Pure text work on what was received.

import { hash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

/** Node's parsed headers, or its raw list of names and values, which alone keeps repeated headers apart. */
export type ReceivedHeaders = IncomingHttpHeaders | readonly string[];

/** Values of each header by lower-case name, in the order received. */
export type HeaderValues = ReadonlyMap<string, readonly string[]>;

export interface QueryParameter {
  readonly name: string;
  readonly value: string;
}

/** Groups header values under lower-case names. */
export function headerValues(headers: ReceivedHeaders): HeaderValues {
  const values = new Map<string, string[]>();
  const add = (received: string, value: string) => {
    const name = received.toLowerCase();
    const known = values.get(name);
    if (known === undefined) values.set(name, [value]);
    else known.push(value);
  };
  if (isRawList(headers)) {
    for (let at = 0; at + 1 < headers.length; at += 2)
      add(headers[at] ?? "", headers[at + 1] ?? "");
  } else {
    for (const [name, value] of Object.entries(headers))
      for (const one of Array.isArray(value) ? value : [value])
        if (one !== undefined) add(name, one);
  }
  return values;
}

/** Whether headers are Node's raw list of names and values. */
export function isRawList(headers: ReceivedHeaders): headers is readonly string[] {
  return Array.isArray(headers);
}

/** A header's value as it is signed: each trimmed, runs of blanks made one, repeats joined by commas. */
export function canonicalHeaderValue(values: readonly string[]): string {
  const [only = ""] = values;
  return values.length === 1 ? oneSpaced(only) : values.map(oneSpaced).join(",");
}

function oneSpaced(value: string): string {
  const trimmed = value.trim();
  // Few values have blanks to replace: looking for one is cheaper than replacing none.
  return /\s\s|[^\S ]/.test(trimmed) ? trimmed.replace(/\s+/g, " ") : trimmed;
}

/** Path and raw query of a request target. */
export function splitTarget(target: string): { path: string; query: string } {
  const mark = target.indexOf("?");
  if (mark === -1) return { path: target, query: "" };
  return { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

/** The decoded parameters of a raw query; undefined when an escape in it is broken. */
export function parseQuery(query: string): QueryParameter[] | undefined {
  const parameters: QueryParameter[] = [];
  for (const part of query.split("&")) {
    if (part === "") continue;
    const mark = part.indexOf("=");
    const name = decodeBytes((mark === -1 ? part : part.slice(0, mark)).replaceAll("+", " "));
    const value = decodeBytes((mark === -1 ? "" : part.slice(mark + 1)).replaceAll("+", " "));
    if (name === undefined || value === undefined) return undefined;
    parameters.push({ name, value });
  }
  return parameters;
}

/** The query as it is signed: everything escaped alike, sorted by name and then by value, repeats kept. */
export function canonicalQuery(parameters: readonly QueryParameter[]): string {
  return parameters
    .map(({ name, value }) => [escapeBytes(name), escapeBytes(value)] as const)
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** S3's signed path: the meant bytes, escaped once; dots and empty segments stay. Undefined for a broken escape. */
export function canonicalPathOnce(path: string): string | undefined {
  const decoded = decodeBytes(path);
  return decoded === undefined ? undefined : escapeBytes(decoded || "/", "/");
}

/** Every other service's signed path: dot and empty segments resolved, then the received form escaped again. */
export function canonicalPathTwice(path: string): string {
  if (path.startsWith("/") && !/\/[./]/.test(path)) return escapeBytes(path, "/");
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") segments.pop();
    else segments.push(segment);
  }
  if (segments.length === 0) return "/";
  return escapeBytes(`/${segments.join("/")}${path.endsWith("/") ? "/" : ""}`, "/");
}

/**
 * Decodes percent escapes to a string that holds one byte a character, as Node does with the bytes of a request line.
 * Undefined for a broken escape.
 */
export function decodeBytes(text: string): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** Percent-escapes a string of one byte a character, except unreserved characters and those in `safe`. */
export function escapeBytes(bytes: string, safe: "" | "/" = ""): string {
  const reserved = safe === "/" ? /[^A-Za-z0-9\-._~/]/g : /[^A-Za-z0-9\-._~]/g;
  return bytes.replace(
    reserved,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

/** What one canonical request is made of; the parts are canonical themselves. */
export interface CanonicalParts {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  /** Lower-case, sorted. */
  readonly signedHeaders: readonly string[];
  readonly headers: HeaderValues;
  readonly payloadHash: string;
}

/** The canonical request. */
export function canonicalRequest(parts: CanonicalParts): string {
  const { method, path, query, signedHeaders, payloadHash } = parts;
  let headers = "";
  for (const name of signedHeaders)
    headers += `${name}:${canonicalHeaderValue(parts.headers.get(name) ?? [])}\n`;
  return `${method}\n${path}\n${query}\n${headers}\n${signedHeaders.join(";")}\n${payloadHash}`;
}

/** Lower-case hex SHA-256. */
export function sha256Hex(data: string | Uint8Array): string {
  return hash("sha256", data, "hex");
}
