// Rows of the artifact store's index as records, and back.

import { z } from "zod";
import { jsonOf, jsonOrNull, numberOf, textOf, type Row } from "../store/sqlite-database.ts";
import { CHECKSUM_ALGORITHMS, CHECKSUM_TYPES } from "./checksums.ts";
import type {
  BucketRecord,
  ObjectDescription,
  ObjectRecord,
  ObjectSummary,
  PartRecord,
  UploadRecord,
} from "./records.ts";

const texts = z.record(z.string(), z.string());
const uploadChecksum = z.strictObject({
  algorithm: z.enum(CHECKSUM_ALGORITHMS),
  type: z.enum(CHECKSUM_TYPES),
});
const checksum = uploadChecksum.extend({ value: z.string() });
const segments = z.array(z.strictObject({ fileId: z.string(), sizeBytes: z.number() }));

/** The key column: text as the client sees it. */
export function keyOf(row: Row): string {
  const value = row["key"];
  if (!(value instanceof Uint8Array)) throw new TypeError('Column "key" is not a blob');
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8");
}

/** A key as the column holds it. */
export function keyBytes(key: string): Buffer {
  return Buffer.from(key, "utf8");
}

export function toBucket(row: Row): BucketRecord {
  return {
    name: textOf(row, "name"),
    region: textOf(row, "region"),
    createdAt: numberOf(row, "created_at"),
  };
}

export function toSummary(row: Row): ObjectSummary {
  return {
    key: keyOf(row),
    sizeBytes: numberOf(row, "size_bytes"),
    etag: textOf(row, "etag"),
    lastModified: numberOf(row, "last_modified"),
    checksum: checksum.nullable().parse(jsonOrNull(row, "checksum")),
  };
}

export function toObject(row: Row): ObjectRecord {
  return { ...toSummary(row), ...toDescription(row), segments: toSegments(row) };
}

export function toSegments(row: Row): ObjectRecord["segments"] {
  return segments.parse(jsonOf(row, "segments"));
}

export function toUpload(row: Row): UploadRecord {
  return {
    key: keyOf(row),
    uploadId: textOf(row, "upload_id"),
    createdAt: numberOf(row, "created_at"),
    checksum: uploadChecksum.nullable().parse(jsonOrNull(row, "checksum")),
    ...toDescription(row),
  };
}

export function toPart(row: Row): PartRecord {
  return {
    number: numberOf(row, "number"),
    sizeBytes: numberOf(row, "size_bytes"),
    etag: textOf(row, "etag"),
    lastModified: numberOf(row, "last_modified"),
    checksum: checksum.nullable().parse(jsonOrNull(row, "checksum")),
    fileId: textOf(row, "file_id"),
  };
}

function toDescription(row: Row): ObjectDescription {
  return {
    headers: texts.parse(jsonOf(row, "headers")),
    userMetadata: texts.parse(jsonOf(row, "user_metadata")),
  };
}
