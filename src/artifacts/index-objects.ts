// Buckets and objects in the index. Every function is one or a few statements; the caller holds the transaction.

import type { DatabaseSync } from "node:sqlite";
import { toJson } from "../store/sqlite-database.ts";
import type { BucketRecord, BucketRef, ObjectRecord, ObjectRef, ObjectSummary } from "./records.ts";
import { keyBytes, toBucket, toObject, toSegments, toSummary } from "./rows.ts";

export interface ObjectIndex {
  findBucket(ref: BucketRef): BucketRecord | undefined;
  listBuckets(account: string): BucketRecord[];
  addBucket(ref: BucketRef, bucket: BucketRecord): void;
  removeBucket(ref: BucketRef): void;
  hasObjects(ref: BucketRef): boolean;
  findObject(ref: ObjectRef): ObjectRecord | undefined;
  /** Adds or replaces. */
  putObject(ref: BucketRef, object: ObjectRecord): void;
  removeObject(ref: ObjectRef): void;
  /** Objects with `from <= key < before`, in the order of their bytes, read as they are asked for. */
  scanObjects(ref: BucketRef, from: Uint8Array, before: Uint8Array): Iterable<ObjectSummary>;
  /** Every data file that an object names. */
  fileIds(): Iterable<string>;
}

const SUMMARY = "key, size_bytes, etag, last_modified, checksum";

/** Prepares the statements. */
export function createObjectIndex(db: DatabaseSync): ObjectIndex {
  const inBucket = "account = ? AND bucket = ?";
  const findBucket = db.prepare("SELECT * FROM buckets WHERE account = ? AND name = ?");
  const listBuckets = db.prepare("SELECT * FROM buckets WHERE account = ? ORDER BY name");
  const addBucket = db.prepare("INSERT INTO buckets VALUES (?, ?, ?, ?)");
  const removeBucket = db.prepare("DELETE FROM buckets WHERE account = ? AND name = ?");
  const anyObject = db.prepare(`SELECT 1 FROM objects WHERE ${inBucket} LIMIT 1`);
  const findObject = db.prepare(`SELECT * FROM objects WHERE ${inBucket} AND key = ?`);
  const removeObject = db.prepare(`DELETE FROM objects WHERE ${inBucket} AND key = ?`);
  const putObject = db.prepare(
    `INSERT OR REPLACE INTO objects
     (account, bucket, ${SUMMARY}, headers, user_metadata, segments)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const allSegments = db.prepare("SELECT segments FROM objects");
  return {
    findBucket({ account, bucket }) {
      const row = findBucket.get(account, bucket);
      return row === undefined ? undefined : toBucket(row);
    },
    listBuckets: (account) => listBuckets.all(account).map(toBucket),
    addBucket({ account, bucket }, { region, createdAt }) {
      addBucket.run(account, bucket, region, createdAt);
    },
    removeBucket({ account, bucket }) {
      removeBucket.run(account, bucket);
    },
    hasObjects: ({ account, bucket }) => anyObject.get(account, bucket) !== undefined,
    findObject({ account, bucket, key }) {
      const row = findObject.get(account, bucket, keyBytes(key));
      return row === undefined ? undefined : toObject(row);
    },
    putObject({ account, bucket }, object) {
      putObject.run(
        ...[account, bucket, keyBytes(object.key), object.sizeBytes, object.etag],
        ...[object.lastModified, toJson(object.checksum), toJson(object.headers)],
        ...[toJson(object.userMetadata), toJson(object.segments)],
      );
    },
    removeObject({ account, bucket, key }) {
      removeObject.run(account, bucket, keyBytes(key));
    },
    *scanObjects({ account, bucket }, from, before) {
      // A statement of its own: two scans at once must not rewind each other.
      const scan = db.prepare(
        `SELECT ${SUMMARY} FROM objects WHERE ${inBucket} AND key >= ? AND key < ? ORDER BY key`,
      );
      for (const row of scan.iterate(account, bucket, from, before)) yield toSummary(row);
    },
    *fileIds() {
      for (const row of allSegments.iterate())
        for (const { fileId } of toSegments(row)) yield fileId;
    },
  };
}
