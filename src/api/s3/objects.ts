// Operations on single objects.

import type { Checksum } from "../../artifacts/checksums.ts";
import type { ByteRange } from "../../artifacts/data-files.ts";
import type { ObjectDescription, ObjectRecord } from "../../artifacts/records.ts";
import { s3Error } from "../../artifacts/s3-errors.ts";
import {
  bucketRef,
  header,
  objectRef,
  parseTarget,
  type S3Call,
  type S3Deps,
  type S3Reply,
} from "./call.ts";
import { isUnmodified, parseRange, writePrecondition } from "./conditions.ts";
import { describeObject, descriptionHeaders, STORED_HEADERS } from "./description.ts";
import { checksumHeader, uploadBody } from "./payload.ts";
import { S3_NAMESPACE, xmlDocument, type XmlElement } from "./xml.ts";

/** PUT /bucket/key */
export async function putObject({ artifacts, limits }: S3Deps, call: S3Call): Promise<S3Reply> {
  const { headers, signal } = call;
  const ref = objectRef(call);
  const description = describeObject(headers);
  const precondition = writePrecondition(headers);
  const body = uploadBody(call);
  artifacts.buckets.get(ref);
  await using staged = await artifacts.stage(
    body.bytes,
    { maxBytes: limits.maxObjectBytes, expectedBytes: body.sizeBytes },
    signal,
  );
  const checksum = body.checksum();
  const { etag } = await artifacts.objects.put(
    ref,
    { staged, description, checksum },
    precondition,
  );
  return { status: 200, headers: { etag: quoted(etag), ...checksumHeaders(checksum) } };
}

/** GET /bucket/key */
export function getObject(deps: S3Deps, call: S3Call): Promise<S3Reply> {
  return readObject(deps, call, true);
}

/** HEAD /bucket/key */
export function headObject(deps: S3Deps, call: S3Call): Promise<S3Reply> {
  return readObject(deps, call, false);
}

function readObject({ artifacts }: S3Deps, call: S3Call, withBody: boolean): Promise<S3Reply> {
  using opened = artifacts.objects.open(objectRef(call));
  const { record } = opened;
  const headers = { ...objectHeaders(record), ...overrides(call.query) };
  if (isUnmodified(call.headers, record)) {
    const { etag, "last-modified": lastModified } = headers;
    return Promise.resolve({ status: 304, headers: { etag, "last-modified": lastModified } });
  }
  const range = parseRange(header(call.headers, "range"), record.sizeBytes);
  const reply = {
    status: range === undefined ? 200 : 206,
    headers: { ...headers, ...lengthHeaders(record, range), ...checksumOf(call, record, range) },
  };
  return Promise.resolve(withBody ? { ...reply, body: opened.read(range) } : reply);
}

/** DELETE /bucket/key */
export async function deleteObject({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  const precondition = writePrecondition(call.headers);
  await artifacts.objects.delete(bucketRef(call), [call.key], precondition);
  return { status: 204 };
}

/** PUT /bucket/key with x-amz-copy-source */
export async function copyObject({ artifacts, limits }: S3Deps, call: S3Call): Promise<S3Reply> {
  const { account, headers, signal } = call;
  const source = copySource(header(headers, "x-amz-copy-source") ?? "");
  const directive = header(headers, "x-amz-metadata-directive") ?? "COPY";
  if (directive !== "COPY" && directive !== "REPLACE")
    throw s3Error("InvalidArgument", "Unknown metadata directive.");
  const isSame = source.bucket === call.bucket && source.key === call.key;
  if (isSame && directive === "COPY")
    throw s3Error(
      "InvalidRequest",
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata.",
    );
  artifacts.buckets.get({ account, bucket: call.bucket });
  using opened = artifacts.objects.open({ account, ...source });
  const { record } = opened;
  if (isUnmodified(headers, record, "x-amz-copy-source-")) throw s3Error("PreconditionFailed");
  await using staged = await artifacts.stage(
    opened.read(),
    { maxBytes: limits.maxObjectBytes, expectedBytes: record.sizeBytes },
    signal,
  );
  const description: ObjectDescription = directive === "COPY" ? record : describeObject(headers);
  // A composite checksum speaks of parts that the copy does not have.
  const checksum = record.checksum?.type === "FULL_OBJECT" ? record.checksum : null;
  const copy = await artifacts.objects.put(
    objectRef(call),
    { staged, description: pickDescription(description), checksum },
    writePrecondition(headers),
  );
  return { status: 200, body: copyResult(copy) };
}

function pickDescription({ headers, userMetadata }: ObjectDescription): ObjectDescription {
  return { headers, userMetadata };
}

function copySource(value: string): { bucket: string; key: string } {
  const path = value.startsWith("/") ? value : `/${value}`;
  if (path.includes("?")) throw s3Error("NotImplemented", "Copying a version is not implemented");
  // The header is escaped like a path; a plus sign in it is one.
  const { bucket, key } = parseTarget(path);
  if (bucket === "" || key === "")
    throw s3Error("InvalidArgument", "Copy Source must mention the source bucket and key");
  return { bucket, key };
}

function copyResult({ etag, lastModified, checksum }: ObjectRecord): string {
  return xmlDocument(
    [
      "CopyObjectResult",
      [
        ["LastModified", new Date(lastModified).toISOString()],
        ["ETag", quoted(etag)],
        ...checksumElements(checksum),
      ],
    ],
    S3_NAMESPACE,
  );
}

function objectHeaders(record: ObjectRecord) {
  return {
    ...descriptionHeaders(record),
    etag: quoted(record.etag),
    "last-modified": new Date(record.lastModified).toUTCString(),
    "accept-ranges": "bytes",
  };
}

function lengthHeaders({ sizeBytes }: ObjectRecord, range: ByteRange | undefined) {
  if (range === undefined) return { "content-length": String(sizeBytes) };
  const { start, end } = range;
  return {
    "content-length": String(end - start),
    "content-range": `bytes ${start}-${end - 1}/${sizeBytes}`,
  };
}

/** A checksum of the whole says nothing about a range of it. */
function checksumOf(call: S3Call, { checksum }: ObjectRecord, range: ByteRange | undefined) {
  const isWanted = header(call.headers, "x-amz-checksum-mode") === "ENABLED";
  return isWanted && range === undefined ? checksumHeaders(checksum) : {};
}

/** Response headers that the query replaces: `response-content-type` and so on. */
function overrides(query: S3Call["query"]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of STORED_HEADERS) {
    const value = query.get(`response-${name}`);
    if (value === undefined) continue;
    if (!/^[\t\x20-\x7e]*$/.test(value))
      throw s3Error("InvalidArgument", `response-${name} is not a header value`);
    found[name] = value;
  }
  return found;
}

/** Query parameters that `overrides` reads. */
export const OVERRIDE_PARAMETERS = STORED_HEADERS.map((name) => `response-${name}`);

/** Response headers for a checksum. */
export function checksumHeaders(checksum: Checksum | null): Record<string, string> {
  if (checksum === null) return {};
  return {
    [checksumHeader(checksum.algorithm)]: checksum.value,
    "x-amz-checksum-type": checksum.type,
  };
}

/** XML elements for a checksum. */
export function checksumElements(checksum: Checksum | null): XmlElement[] {
  if (checksum === null) return [];
  return [
    [`Checksum${checksum.algorithm}`, checksum.value],
    ["ChecksumType", checksum.type],
  ];
}

/** An entity tag as HTTP writes it. */
export function quoted(etag: string): string {
  return `"${etag}"`;
}
