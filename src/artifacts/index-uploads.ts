// Uploads in parts in the index. Every function is one or a few statements; the caller holds the transaction.

import type { DatabaseSync } from "node:sqlite";
import { textOf, toJson } from "../store/sqlite-database.ts";
import type { BucketRef, PartRecord, UploadRecord, UploadRef } from "./records.ts";
import { keyBytes, toPart, toUpload } from "./rows.ts";

export interface UploadPosition {
  readonly key: string;
  /** Empty for before the key's first upload. */
  readonly uploadId: string;
}

export interface UploadIndex {
  findUpload(ref: UploadRef): UploadRecord | undefined;
  addUpload(ref: BucketRef, upload: UploadRecord): void;
  /** With its parts. */
  removeUpload(uploadId: string): void;
  countUploads(ref: BucketRef): number;
  /** At most `limit` uploads after `position` whose key begins with `prefix`, by key and id. */
  listUploads(
    ref: BucketRef,
    prefix: string,
    position: UploadPosition,
    limit: number,
  ): UploadRecord[];
  /** Ids of uploads begun before `time`. */
  uploadsBefore(time: number): string[];
  findPart(uploadId: string, number: number): PartRecord | undefined;
  /** Adds or replaces. */
  putPart(uploadId: string, part: PartRecord): void;
  /** At most `limit` parts with a number above `after`, by number. */
  listParts(uploadId: string, after: number, limit: number): PartRecord[];
  /** Every data file that a part names. */
  fileIds(): Iterable<string>;
}

/** Prepares the statements. */
export function createUploadIndex(db: DatabaseSync): UploadIndex {
  const inBucket = "account = ? AND bucket = ?";
  const findUpload = db.prepare(
    `SELECT * FROM uploads WHERE upload_id = ? AND ${inBucket} AND key = ?`,
  );
  const addUpload = db.prepare(
    `INSERT INTO uploads
     (account, bucket, key, upload_id, created_at, checksum, headers, user_metadata)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const removeUpload = db.prepare("DELETE FROM uploads WHERE upload_id = ?");
  const countUploads = db.prepare(`SELECT count(*) AS count FROM uploads WHERE ${inBucket}`);
  const listUploads = db.prepare(
    `SELECT * FROM uploads WHERE ${inBucket} AND (key, upload_id) > (?, ?)
     AND substr(key, 1, ?) = ? ORDER BY key, upload_id LIMIT ?`,
  );
  const uploadsBefore = db.prepare("SELECT upload_id FROM uploads WHERE created_at < ?");
  const findPart = db.prepare("SELECT * FROM parts WHERE upload_id = ? AND number = ?");
  const putPart = db.prepare(
    `INSERT OR REPLACE INTO parts
     (upload_id, number, size_bytes, etag, last_modified, checksum, file_id)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const listParts = db.prepare(
    "SELECT * FROM parts WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?",
  );
  const allFiles = db.prepare("SELECT file_id FROM parts");
  return {
    findUpload({ account, bucket, key, uploadId }) {
      const row = findUpload.get(uploadId, account, bucket, keyBytes(key));
      return row === undefined ? undefined : toUpload(row);
    },
    addUpload({ account, bucket }, upload) {
      addUpload.run(
        ...[account, bucket, keyBytes(upload.key), upload.uploadId, upload.createdAt],
        ...[toJson(upload.checksum), toJson(upload.headers), toJson(upload.userMetadata)],
      );
    },
    removeUpload(uploadId) {
      removeUpload.run(uploadId);
    },
    countUploads: ({ account, bucket }) => Number(countUploads.get(account, bucket)?.["count"]),
    listUploads({ account, bucket }, prefix, { key, uploadId }, limit) {
      const start = keyBytes(prefix);
      return listUploads
        .all(account, bucket, keyBytes(key), uploadId, start.length, start, limit)
        .map(toUpload);
    },
    uploadsBefore: (time) => uploadsBefore.all(time).map((row) => textOf(row, "upload_id")),
    findPart(uploadId, number) {
      const row = findPart.get(uploadId, number);
      return row === undefined ? undefined : toPart(row);
    },
    putPart(uploadId, part) {
      putPart.run(
        ...[uploadId, part.number, part.sizeBytes, part.etag, part.lastModified],
        ...[toJson(part.checksum), part.fileId],
      );
    },
    listParts: (uploadId, after, limit) => listParts.all(uploadId, after, limit).map(toPart),
    *fileIds() {
      for (const row of allFiles.iterate()) yield textOf(row, "file_id");
    },
  };
}
