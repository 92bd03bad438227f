// One S3 request taken apart, and what an operation answers.

import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  validateHeaderName,
  validateHeaderValue,
} from "node:http";
import type { Readable } from "node:stream";
import type { ArtifactStore } from "../../artifacts/local.ts";
import type { BucketRef, ObjectRef } from "../../artifacts/records.ts";
import { s3Error } from "../../artifacts/s3-errors.ts";
import { decodeBytes, parseQuery, splitTarget } from "../sigv4-canonical.ts";
import type { SignedPayload, VerifiedSignature } from "../sigv4.ts";

export interface S3Limits {
  /** Largest object, and largest body of one request, in bytes. */
  readonly maxObjectBytes: number;
}

export interface S3Deps {
  readonly artifacts: ArtifactStore;
  readonly limits: S3Limits;
}

/** Bucket and key of a path-style request; empty where the path names none. */
export interface S3Target {
  readonly bucket: string;
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
}

export interface S3Call extends S3Target {
  readonly account: string;
  readonly region: string;
  readonly headers: IncomingHttpHeaders;
  readonly request: IncomingMessage;
  readonly payload: SignedPayload;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
}

export interface S3Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** XML, or an object's bytes with `content-length` among the headers. */
  readonly body?: string | Readable;
}

export type S3Operation = (deps: S3Deps, call: S3Call) => Promise<S3Reply>;

/** Bytes of a key's UTF-8. */
const MAX_KEY_BYTES = 1024;
const BUCKET_NAME = /^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** Takes a request target apart. Throws InvalidURI, InvalidBucketName and KeyTooLongError. */
export function parseTarget(url: string): S3Target {
  const { path, query } = splitTarget(url);
  const decoded = decodeUtf8(path);
  const found = /^\/([^/]*)(?:\/(.*))?$/s.exec(decoded ?? "");
  if (found === null) throw s3Error("InvalidURI");
  const [, bucket = "", key = ""] = found;
  if (bucket === "" && decoded !== "/") throw s3Error("InvalidBucketName");
  if (bucket !== "" && !BUCKET_NAME.test(bucket)) throw s3Error("InvalidBucketName");
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw s3Error("KeyTooLongError");
  return { bucket, key, query: queryMap(query) };
}

/** Percent-decodes to text; undefined for broken escapes and for bytes that are no UTF-8. */
export function decodeUtf8(escaped: string): string | undefined {
  const bytes = decodeBytes(escaped);
  if (bytes === undefined) return undefined;
  const text = Buffer.from(bytes, "latin1").toString("utf8");
  // Decoding replaces what is no UTF-8, and does not come back as the same bytes.
  return Buffer.from(text, "utf8").toString("latin1") === bytes ? text : undefined;
}

function queryMap(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const { name, value } of parseQuery(query) ?? []) {
    const text = Buffer.from(value, "latin1").toString("utf8");
    if (parameters.has(name))
      throw s3Error("InvalidArgument", `'${name}' was given more than once`);
    parameters.set(name, text);
  }
  return parameters;
}

/** The bucket that a call names. */
export function bucketRef({ account, bucket }: S3Call): BucketRef {
  return { account, bucket };
}

/** The object that a call names. */
export function objectRef({ account, bucket, key }: S3Call): ObjectRef {
  return { account, bucket, key };
}

/** Parameters of the signature itself. */
const SIGNATURE_PARAMETERS =
  /^x-amz-(algorithm|credential|date|expires|signedheaders|signature|security-token|content-sha256)$/;

/** Headers, with those that a presigned URL carries in its query. */
function allHeaders(headers: IncomingHttpHeaders, query: S3Target["query"]): IncomingHttpHeaders {
  const moved = [...query]
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => name.startsWith("x-amz-") && !SIGNATURE_PARAMETERS.test(name));
  for (const [name, value] of moved) checkHeader(name, value);
  return { ...Object.fromEntries(moved), ...headers };
}

/** Throws InvalidArgument for what could not have come in a header, nor be answered in one. */
function checkHeader(name: string, value: string): void {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw s3Error("InvalidArgument", "A parameter of the query is no header");
  }
}

/** The call that a verified request makes. */
export function createCall(
  request: IncomingMessage,
  target: S3Target,
  { account, region, payload }: VerifiedSignature,
  signal: AbortSignal,
): S3Call {
  const headers = allHeaders(request.headers, target.query);
  return { ...target, account, region, headers, request, payload, signal };
}

/** A request header's value. */
export function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(",") : value;
}

/** A whole number from the query, from 0 to `max`; larger ones count as `max`. Throws InvalidArgument. */
export function numberInQuery(
  query: ReadonlyMap<string, string>,
  name: string,
  absent: number,
  max: number,
): number {
  const text = query.get(name);
  if (text === undefined || text === "") return absent;
  if (!/^\d{1,10}$/.test(text) || Number(text) > 2 ** 31 - 1)
    throw s3Error("InvalidArgument", `Provided ${name} not an integer or within integer range`);
  return Math.min(Number(text), max);
}
