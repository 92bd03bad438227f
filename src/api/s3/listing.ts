// Listing of a bucket's objects, in both versions, and deletion of many at once.

import type { ListEntry, ListQuery } from "../../artifacts/listing.ts";
import { s3Error } from "../../artifacts/s3-errors.ts";
import {
  bucketRef,
  header,
  numberInQuery,
  type S3Call,
  type S3Deps,
  type S3Reply,
} from "./call.ts";
import { quoted } from "./objects.ts";
import { documentBody } from "./payload.ts";
import {
  childrenOf,
  parseXml,
  S3_NAMESPACE,
  textOfChild,
  xmlDocument,
  type XmlElement,
} from "./xml.ts";

const MAX_PAGE = 1000;
const MAX_DELETIONS = 1000;
const MAX_DOCUMENT_BYTES = 2 * 1024 * 1024;

/** GET /bucket?list-type=2 */
export function listObjectsV2({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  const { query } = call;
  if (query.get("list-type") !== "2") throw s3Error("InvalidArgument", "Invalid List Type");
  const token = query.get("continuation-token");
  const startAfter = query.get("start-after");
  const asked = askedListing(query, token === undefined ? (startAfter ?? "") : readToken(token));
  const page = artifacts.objects.list(bucketRef(call), asked);
  const text = encoder(query);
  const withOwner = query.get("fetch-owner") === "true" ? call.account : undefined;
  return answer([
    ...commonElements(call, asked),
    ["StartAfter", startAfter === undefined ? undefined : text(startAfter)],
    ["ContinuationToken", token],
    ["NextContinuationToken", page.next === undefined ? undefined : writeToken(page.next)],
    ["KeyCount", page.entries.length],
    ["IsTruncated", page.next !== undefined],
    ...page.entries.map((entry) => entryElement(entry, text, withOwner)),
  ]);
}

/** GET /bucket */
export function listObjects({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  const { query } = call;
  const marker = query.get("marker") ?? "";
  const asked = askedListing(query, marker);
  const page = artifacts.objects.list(bucketRef(call), asked);
  const text = encoder(query);
  return answer([
    ...commonElements(call, asked),
    ["Marker", text(marker)],
    ["NextMarker", page.next === undefined ? undefined : text(page.next)],
    ["IsTruncated", page.next !== undefined],
    ...page.entries.map((entry) => entryElement(entry, text, call.account)),
  ]);
}

function answer(elements: readonly XmlElement[]): Promise<S3Reply> {
  const body = xmlDocument(["ListBucketResult", elements], S3_NAMESPACE);
  return Promise.resolve({ status: 200, body });
}

function askedListing(query: S3Call["query"], after: string): ListQuery {
  return {
    prefix: query.get("prefix") ?? "",
    delimiter: query.get("delimiter") ?? "",
    after,
    limit: numberInQuery(query, "max-keys", MAX_PAGE, MAX_PAGE),
  };
}

function commonElements(call: S3Call, { prefix, delimiter, limit }: ListQuery): XmlElement[] {
  const text = encoder(call.query);
  return [
    ["Name", call.bucket],
    ["Prefix", text(prefix)],
    ["Delimiter", delimiter === "" ? undefined : text(delimiter)],
    ["MaxKeys", limit],
    ["EncodingType", call.query.get("encoding-type")],
  ];
}

function entryElement(
  entry: ListEntry,
  text: (value: string) => string,
  owner: string | undefined,
): XmlElement {
  if (entry.kind === "prefix") return ["CommonPrefixes", [["Prefix", text(entry.prefix)]]];
  const { key, sizeBytes, etag, lastModified, checksum } = entry.object;
  return [
    "Contents",
    [
      ["Key", text(key)],
      ["LastModified", new Date(lastModified).toISOString()],
      ["ETag", quoted(etag)],
      ["ChecksumAlgorithm", checksum?.algorithm],
      ["ChecksumType", checksum?.type],
      ["Size", sizeBytes],
      ["Owner", owner === undefined ? undefined : [["ID", owner]]],
      ["StorageClass", "STANDARD"],
    ],
  ];
}

/** How keys are written in an answer: as they are, or escaped when the client asks for it. */
export function encoder(query: S3Call["query"]): (value: string) => string {
  const type = query.get("encoding-type");
  if (type === undefined) return (value) => value;
  if (type !== "url")
    throw s3Error("InvalidArgument", "Invalid Encoding Method specified in Request");
  return (value) => encodeURIComponent(value).replaceAll("%2F", "/").replaceAll("%20", "+");
}

function writeToken(after: string): string {
  return Buffer.from(after, "utf8").toString("base64url");
}

function readToken(token: string): string {
  const after = Buffer.from(token, "base64url").toString("utf8");
  if (token === "" || writeToken(after) !== token)
    throw s3Error("InvalidArgument", "The continuation token provided is incorrect");
  return after;
}

/** POST /bucket?delete */
export async function deleteObjects({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  if (header(call.headers, "content-md5") === undefined && !hasChecksum(call))
    throw s3Error("InvalidRequest", "Missing required header for this request: Content-MD5");
  const document = parseXml(await documentBody(call, MAX_DOCUMENT_BYTES), "Delete");
  const named = childrenOf(document, "Object");
  if (named.length === 0 || named.length > MAX_DELETIONS) throw s3Error("MalformedXML");
  const keys = named.map((node) => {
    const [key, version = "null"] = [textOfChild(node, "Key"), textOfChild(node, "VersionId")];
    if (key === undefined || key === "") throw s3Error("MalformedXML");
    if (version !== "null") throw s3Error("NotImplemented", "Versions are not implemented");
    return key;
  });
  await artifacts.objects.delete(bucketRef(call), keys);
  const isQuiet = textOfChild(document, "Quiet") === "true";
  const elements = isQuiet ? [] : keys.map((key): XmlElement => ["Deleted", [["Key", key]]]);
  return { status: 200, body: xmlDocument(["DeleteResult", elements], S3_NAMESPACE) };
}

function hasChecksum({ headers }: S3Call): boolean {
  return Object.keys(headers).some(
    (name) => name.startsWith("x-amz-checksum-") || name === "x-amz-trailer",
  );
}
