// Conditional requests and byte ranges, as far as S3 takes them (RFC 9110, sections 13 and 14).

import type { IncomingHttpHeaders } from "node:http";
import type { ByteRange } from "../../artifacts/data-files.ts";
import type { Precondition } from "../../artifacts/objects.ts";
import type { ObjectSummary } from "../../artifacts/records.ts";
import { s3Error } from "../../artifacts/s3-errors.ts";
import { header } from "./call.ts";

/** What may be looked at before an answer is given. */
type Version = Pick<ObjectSummary, "etag" | "lastModified">;

/**
 * Whether a read must be answered with "not modified". Throws PreconditionFailed. `prefix` is that of the headers, for
 * copies: `x-amz-copy-source-`.
 */
export function isUnmodified(headers: IncomingHttpHeaders, object: Version, prefix = ""): boolean {
  const value = (name: string) => header(headers, prefix + name);
  const [ifMatch, ifNoneMatch] = [value("if-match"), value("if-none-match")];
  if (ifMatch !== undefined) {
    if (!etagListed(ifMatch, object.etag)) throw failed("If-Match");
  } else if (isAfter(object, value("if-unmodified-since")) === true) {
    throw failed("If-Unmodified-Since");
  }
  if (ifNoneMatch !== undefined) return etagListed(ifNoneMatch, object.etag);
  return isAfter(object, value("if-modified-since")) === false;
}

/** The condition of a write: `If-None-Match: *` for a new object, `If-Match` for a known one. */
export function writePrecondition(headers: IncomingHttpHeaders): Precondition {
  const [ifMatch, ifNoneMatch] = [header(headers, "if-match"), header(headers, "if-none-match")];
  if (ifNoneMatch !== undefined && ifNoneMatch !== "*")
    throw s3Error("NotImplemented", "If-None-Match of a write can only be *");
  return (current) => {
    if (ifNoneMatch !== undefined && current !== undefined) throw failed("If-None-Match");
    if (ifMatch === undefined) return;
    if (current === undefined) throw s3Error("NoSuchKey");
    if (!etagListed(ifMatch, current.etag)) throw failed("If-Match");
  };
}

function failed(condition: string) {
  return s3Error("PreconditionFailed", undefined, { condition });
}

function etagListed(list: string, etag: string): boolean {
  return list
    .split(",")
    .map((item) => item.trim().replace(/^W\//, "").replace(/^"|"$/g, ""))
    .some((item) => item === "*" || item === etag);
}

/** Whether the object changed after a date, in whole seconds; undefined when there is no valid date. */
function isAfter({ lastModified }: Version, date: string | undefined): boolean | undefined {
  const time = Date.parse(date ?? "");
  return Number.isNaN(time) ? undefined : Math.floor(lastModified / 1000) * 1000 > time;
}

/**
 * The bytes that a Range header asks for; undefined when it asks for all, or in a way that is not understood. Throws
 * InvalidRange for one beyond the object's end.
 */
export function parseRange(range: string | undefined, sizeBytes: number): ByteRange | undefined {
  // Several ranges, like an unknown unit, may be answered with the whole.
  const found = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range?.trim() ?? "");
  if (found === null) return undefined;
  const [, first = "", last = ""] = found;
  if (first === "") {
    if (last === "") return undefined;
    const start = Math.max(sizeBytes - Number(last), 0);
    if (start >= sizeBytes) throw s3Error("InvalidRange");
    return { start, end: sizeBytes };
  }
  if (last !== "" && Number(last) < Number(first)) return undefined;
  if (Number(first) >= sizeBytes) throw s3Error("InvalidRange");
  const end = last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  return { start: Number(first), end };
}
