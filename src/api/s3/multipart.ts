// Uploads in parts.

import {
  CHECKSUM_ALGORITHMS,
  CHECKSUM_TYPES,
  multipartTypes,
  type ChecksumAlgorithm,
} from "../../artifacts/checksums.ts";
import type { PartRecord, UploadChecksum, UploadRef } from "../../artifacts/records.ts";
import { s3Error } from "../../artifacts/s3-errors.ts";
import { MAX_PARTS, type NamedPart } from "../../artifacts/uploads.ts";
import {
  bucketRef,
  header,
  numberInQuery,
  objectRef,
  type S3Call,
  type S3Deps,
  type S3Reply,
} from "./call.ts";
import { writePrecondition } from "./conditions.ts";
import { describeObject } from "./description.ts";
import { encoder } from "./listing.ts";
import { checksumElements, checksumHeaders, quoted } from "./objects.ts";
import { checksumHeader, documentBody, uploadBody } from "./payload.ts";
import {
  childrenOf,
  parseXml,
  S3_NAMESPACE,
  textOfChild,
  xmlDocument,
  type XmlElement,
  type XmlNode,
} from "./xml.ts";

const MAX_PAGE = 1000;
/** Ten thousand parts with their tags and checksums. */
const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

/** POST /bucket/key?uploads */
export function createMultipartUpload({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  const checksum = askedChecksum(call);
  const { uploadId } = artifacts.uploads.create(
    objectRef(call),
    describeObject(call.headers),
    checksum,
  );
  const { bucket, key } = call;
  const body = xmlDocument(
    [
      "InitiateMultipartUploadResult",
      [
        ["Bucket", bucket],
        ["Key", key],
        ["UploadId", uploadId],
      ],
    ],
    S3_NAMESPACE,
  );
  if (checksum === null) return Promise.resolve({ status: 200, body });
  const { algorithm, type } = checksum;
  const headers = { "x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": type };
  return Promise.resolve({ status: 200, headers, body });
}

function askedChecksum({ headers }: S3Call): UploadChecksum | null {
  const [name, typeName] = [
    header(headers, "x-amz-checksum-algorithm"),
    header(headers, "x-amz-checksum-type"),
  ];
  if (name === undefined) {
    if (typeName === undefined) return null;
    throw s3Error("InvalidRequest", "x-amz-checksum-type needs x-amz-checksum-algorithm");
  }
  const algorithm = CHECKSUM_ALGORITHMS.find((each) => each === name.toUpperCase());
  if (algorithm === undefined)
    throw s3Error("NotImplemented", `Checksum algorithm "${name}" is not implemented`);
  const [usual, ...others] = multipartTypes(algorithm);
  if (typeName === undefined && usual !== undefined) return { algorithm, type: usual };
  const type = CHECKSUM_TYPES.find((each) => each === typeName);
  if (type === undefined || (type !== usual && !others.includes(type)))
    throw s3Error(
      "InvalidRequest",
      `The ${typeName ?? ""} checksum type cannot be used with the ${algorithm} checksum algorithm.`,
    );
  return { algorithm, type };
}

/** PUT /bucket/key?partNumber&uploadId */
export async function uploadPart({ artifacts, limits }: S3Deps, call: S3Call): Promise<S3Reply> {
  if (call.headers["x-amz-copy-source"] !== undefined)
    throw s3Error("NotImplemented", "Copying into a part is not implemented");
  const ref = uploadRef(call);
  const number = partNumber(call.query.get("partNumber"));
  const upload = artifacts.uploads.get(ref);
  const body = uploadBody(call, upload.checksum?.algorithm);
  await using staged = await artifacts.stage(
    body.bytes,
    { maxBytes: limits.maxObjectBytes, expectedBytes: body.sizeBytes },
    call.signal,
  );
  const checksum = body.checksum();
  const wanted = upload.checksum?.algorithm;
  if (wanted !== undefined && checksum?.algorithm !== wanted)
    throw s3Error(
      "InvalidRequest",
      `Checksum Type mismatch occurred, expected checksum Type: ${wanted.toLowerCase()}, actual checksum Type: ${checksum?.algorithm.toLowerCase() ?? "null"}`,
    );
  await artifacts.uploads.putPart(ref, number, staged, checksum);
  return { status: 200, headers: { etag: quoted(staged.md5), ...partHeaders(checksum) } };
}

function partHeaders(checksum: PartRecord["checksum"]): Record<string, string> {
  const { "x-amz-checksum-type": _type, ...headers } = checksumHeaders(checksum);
  return headers;
}

function partNumber(text: string | undefined): number {
  const number = /^\d{1,5}$/.test(text ?? "") ? Number(text) : 0;
  if (number < 1 || number > MAX_PARTS)
    throw s3Error("InvalidArgument", `Part number must be an integer from 1 to ${MAX_PARTS}`);
  return number;
}

function uploadRef(call: S3Call): UploadRef {
  return { ...objectRef(call), uploadId: call.query.get("uploadId") ?? "" };
}

/** POST /bucket/key?uploadId */
export async function completeMultipartUpload(
  { artifacts, limits }: S3Deps,
  call: S3Call,
): Promise<S3Reply> {
  const ref = uploadRef(call);
  const { checksum: wanted } = artifacts.uploads.get(ref);
  // Its checksum headers speak of the object, not of this document.
  const document = await documentBody(
    { ...call, headers: withoutChecksums(call.headers) },
    MAX_DOCUMENT_BYTES,
  );
  const nodes = childrenOf(parseXml(document, "CompleteMultipartUpload"), "Part");
  if (nodes.length === 0 || nodes.length > MAX_PARTS) throw s3Error("MalformedXML");
  const { etag, checksum } = await artifacts.uploads.complete(ref, {
    parts: nodes.map((node) => namedPart(node, wanted?.algorithm)),
    precondition: writePrecondition(call.headers),
    expected: {
      checksum:
        wanted === null ? undefined : header(call.headers, checksumHeader(wanted.algorithm)),
      sizeBytes: expectedSize(header(call.headers, "x-amz-mp-object-size")),
    },
    maxBytes: limits.maxObjectBytes,
  });
  const { bucket, key } = call;
  const elements: XmlElement[] = [
    ["Location", `/${bucket}/${encodeURIComponent(key).replaceAll("%2F", "/")}`],
    ["Bucket", bucket],
    ["Key", key],
    ["ETag", quoted(etag)],
    ...checksumElements(checksum),
  ];
  const body = xmlDocument(["CompleteMultipartUploadResult", elements], S3_NAMESPACE);
  return { status: 200, body };
}

function withoutChecksums(headers: S3Call["headers"]): S3Call["headers"] {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => !name.startsWith("x-amz-checksum-") && name !== "x-amz-sdk-checksum-algorithm",
    ),
  );
}

function namedPart(node: XmlNode, algorithm: ChecksumAlgorithm | undefined): NamedPart {
  const etag = textOfChild(node, "ETag");
  if (etag === undefined) throw s3Error("MalformedXML");
  return {
    number: partNumber(textOfChild(node, "PartNumber")?.trim()),
    etag: etag.trim().replace(/^"|"$/g, ""),
    checksum:
      algorithm === undefined ? undefined : textOfChild(node, `Checksum${algorithm}`)?.trim(),
  };
}

function expectedSize(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw s3Error("InvalidRequest", "The x-amz-mp-object-size header is not a size");
  return Number(text);
}

/** DELETE /bucket/key?uploadId */
export async function abortMultipartUpload({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  await artifacts.uploads.abort(uploadRef(call));
  return { status: 204 };
}

/** GET /bucket/key?uploadId */
export function listParts({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  const ref = uploadRef(call);
  const limit = numberInQuery(call.query, "max-parts", MAX_PAGE, MAX_PAGE);
  const after = numberInQuery(call.query, "part-number-marker", 0, MAX_PARTS);
  const { checksum } = artifacts.uploads.get(ref);
  const found = artifacts.uploads.listParts(ref, after, limit + 1);
  const parts = found.slice(0, limit);
  const isTruncated = found.length > limit;
  const elements: XmlElement[] = [
    ["Bucket", ref.bucket],
    ["Key", ref.key],
    ["UploadId", ref.uploadId],
    ["StorageClass", "STANDARD"],
    ["PartNumberMarker", after],
    ["NextPartNumberMarker", isTruncated ? (parts.at(-1)?.number ?? after) : undefined],
    ["MaxParts", limit],
    ["IsTruncated", isTruncated],
    ["ChecksumAlgorithm", checksum?.algorithm],
    ["ChecksumType", checksum?.type],
    ...parts.map(partElement),
  ];
  const body = xmlDocument(["ListPartsResult", elements], S3_NAMESPACE);
  return Promise.resolve({ status: 200, body });
}

function partElement({ number, lastModified, etag, sizeBytes, checksum }: PartRecord): XmlElement {
  const ofPart: XmlElement[] =
    checksum === null ? [] : [[`Checksum${checksum.algorithm}`, checksum.value]];
  return [
    "Part",
    [
      ["PartNumber", number],
      ["LastModified", new Date(lastModified).toISOString()],
      ["ETag", quoted(etag)],
      ["Size", sizeBytes],
      ...ofPart,
    ],
  ];
}

/** GET /bucket?uploads */
export function listMultipartUploads({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  const { query } = call;
  const text = encoder(query);
  const prefix = query.get("prefix") ?? "";
  const keyMarker = query.get("key-marker") ?? "";
  const idMarker = query.get("upload-id-marker");
  const limit = numberInQuery(query, "max-uploads", MAX_PAGE, MAX_PAGE);
  // A key marker alone passes over all uploads of that key; ids are base64url, so none comes after a tilde.
  const uploadId = keyMarker === "" ? "" : (idMarker ?? "~");
  const position = { key: keyMarker, uploadId };
  const found = artifacts.uploads.list(bucketRef(call), prefix, position, limit + 1);
  const uploads = found.slice(0, limit);
  const isTruncated = found.length > limit;
  const last = isTruncated ? uploads.at(-1) : undefined;
  const elements: XmlElement[] = [
    ["Bucket", call.bucket],
    ["KeyMarker", text(keyMarker)],
    ["UploadIdMarker", idMarker ?? ""],
    ["NextKeyMarker", last === undefined ? undefined : text(last.key)],
    ["NextUploadIdMarker", last?.uploadId],
    ["Prefix", text(prefix)],
    ["EncodingType", query.get("encoding-type")],
    ["MaxUploads", limit],
    ["IsTruncated", isTruncated],
    ...uploads.map(({ key, uploadId: id, createdAt, checksum }): XmlElement => [
      "Upload",
      [
        ["Key", text(key)],
        ["UploadId", id],
        ["StorageClass", "STANDARD"],
        ["Initiated", new Date(createdAt).toISOString()],
        ["ChecksumAlgorithm", checksum?.algorithm],
        ["ChecksumType", checksum?.type],
      ],
    ]),
  ];
  const body = xmlDocument(["ListMultipartUploadsResult", elements], S3_NAMESPACE);
  return Promise.resolve({ status: 200, body });
}
