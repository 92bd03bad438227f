// Buckets of the local artifact store.

import { inTransaction, reading } from "../store/sqlite-database.ts";
import type { IndexDeps } from "./local.ts";
import type { BucketRecord, BucketRef } from "./records.ts";
import { s3Error } from "./s3-errors.ts";

export interface Buckets {
  /** False when the account has it already. Rejects TooManyBuckets. */
  create(ref: BucketRef, region: string): boolean;
  /** Throws NoSuchBucket. */
  get(ref: BucketRef): BucketRecord;
  /** By name. */
  list(account: string): BucketRecord[];
  /** Throws NoSuchBucket and BucketNotEmpty. Uploads in parts count as content. */
  delete(ref: BucketRef): void;
}

const MAX_BUCKETS = 1000;

/** The buckets of the index in `deps`. */
export function createBuckets({ db, objects, uploads, now }: IndexDeps): Buckets {
  return {
    create: (ref, region) =>
      inTransaction(db, () => {
        if (objects.findBucket(ref) !== undefined) return false;
        if (objects.listBuckets(ref.account).length >= MAX_BUCKETS) throw s3Error("TooManyBuckets");
        objects.addBucket(ref, { name: ref.bucket, region, createdAt: now() });
        return true;
      }),
    get: (ref) => reading(() => requireBucket({ objects }, ref)),
    list: (account) => reading(() => objects.listBuckets(account)),
    delete: (ref) =>
      inTransaction(db, () => {
        requireBucket({ objects }, ref);
        if (objects.hasObjects(ref) || uploads.countUploads(ref) > 0)
          throw s3Error("BucketNotEmpty");
        objects.removeBucket(ref);
      }),
  };
}

/** The bucket; throws NoSuchBucket. */
export function requireBucket({ objects }: Pick<IndexDeps, "objects">, ref: BucketRef) {
  const bucket = objects.findBucket(ref);
  if (bucket === undefined) throw s3Error("NoSuchBucket", undefined, { bucketName: ref.bucket });
  return bucket;
}
