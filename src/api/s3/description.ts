// Headers of S3 requests: which are known, and what an uploader says about an object with them.

import type { IncomingHttpHeaders } from "node:http";
import { CHECKSUM_ALGORITHMS } from "../../artifacts/checksums.ts";
import type { ObjectDescription } from "../../artifacts/records.ts";
import { s3Error } from "../../artifacts/s3-errors.ts";
import { header } from "./call.ts";
import { checksumHeader } from "./payload.ts";

/** S3's limit for the names and values of user metadata together, in bytes. */
const MAX_METADATA_BYTES = 2048;
const METADATA_PREFIX = "x-amz-meta-";

/** Kept and returned as they came. */
export const STORED_HEADERS = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
] as const;

/** Headers of S3 that have their effect here, or rightly have none. */
const KNOWN_HEADERS = new Set([
  ...CHECKSUM_ALGORITHMS.map(checksumHeader),
  "x-amz-checksum-algorithm",
  "x-amz-checksum-mode",
  "x-amz-checksum-type",
  "x-amz-content-sha256",
  "x-amz-copy-source",
  "x-amz-copy-source-if-match",
  "x-amz-copy-source-if-modified-since",
  "x-amz-copy-source-if-none-match",
  "x-amz-copy-source-if-unmodified-since",
  "x-amz-date",
  "x-amz-decoded-content-length",
  "x-amz-metadata-directive",
  "x-amz-mp-object-size",
  "x-amz-request-payer",
  "x-amz-sdk-checksum-algorithm",
  "x-amz-security-token",
  "x-amz-trailer",
  "x-amz-user-agent",
]);

/** Headers that are fine as long as they ask for what is the case anyway. */
const FIXED_HEADERS: Readonly<Record<string, readonly string[]>> = {
  "x-amz-acl": ["private", "bucket-owner-full-control"],
  "x-amz-bucket-object-lock-enabled": ["false"],
  "x-amz-object-ownership": ["BucketOwnerEnforced"],
  "x-amz-storage-class": ["STANDARD"],
};

/** Throws NotImplemented for a header of S3 that would be ignored, AccessDenied for another expected owner. */
export function checkHeaders(headers: IncomingHttpHeaders, account: string): void {
  for (const name of Object.keys(headers)) {
    if (!name.startsWith("x-amz-") || name.startsWith(METADATA_PREFIX) || KNOWN_HEADERS.has(name))
      continue;
    const value = header(headers, name) ?? "";
    if (name === "x-amz-expected-bucket-owner" || name === "x-amz-source-expected-bucket-owner") {
      if (value !== account) throw s3Error("AccessDenied");
      continue;
    }
    const fixed = Object.hasOwn(FIXED_HEADERS, name) ? FIXED_HEADERS[name] : undefined;
    if (fixed?.includes(value) !== true)
      throw s3Error(
        "NotImplemented",
        `A header you provided implies functionality that is not implemented: ${name}`,
      );
  }
}

/** What the headers of an upload say about the object. Throws MetadataTooLarge. */
export function describeObject(headers: IncomingHttpHeaders): ObjectDescription {
  const stored: Record<string, string> = {};
  for (const name of STORED_HEADERS) {
    const value = name === "content-encoding" ? contentEncoding(headers) : header(headers, name);
    if (value !== undefined) stored[name] = value;
  }
  return { headers: stored, userMetadata: userMetadata(headers) };
}

/** The object's own encoding, without the one that was only for the transfer. */
function contentEncoding(headers: IncomingHttpHeaders): string | undefined {
  const own = header(headers, "content-encoding")
    ?.split(",")
    .map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding.toLowerCase() !== "aws-chunked");
  return own === undefined || own.length === 0 ? undefined : own.join(",");
}

function userMetadata(headers: IncomingHttpHeaders): Record<string, string> {
  const entries = Object.keys(headers)
    .filter((name) => name.startsWith(METADATA_PREFIX))
    .map((name) => [name.slice(METADATA_PREFIX.length), header(headers, name) ?? ""] as const);
  const bytes = entries.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (bytes > MAX_METADATA_BYTES) throw s3Error("MetadataTooLarge");
  return Object.fromEntries(entries);
}

/** The response headers of a description. */
export function descriptionHeaders({
  headers,
  userMetadata: metadata,
}: ObjectDescription): Record<string, string> {
  return {
    "content-type": "binary/octet-stream",
    ...headers,
    ...Object.fromEntries(
      Object.entries(metadata).map(([name, value]) => [METADATA_PREFIX + name, value]),
    ),
  };
}
