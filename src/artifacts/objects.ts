// Objects of the local artifact store: the record and its bytes change together, in one transaction.

import type { Readable } from "node:stream";
import { inTransaction, reading } from "../store/sqlite-database.ts";
import { requireBucket } from "./buckets.ts";
import type { Checksum } from "./checksums.ts";
import type { ByteRange, StagedFile } from "./data-files.ts";
import { listPage, type ListPage, type ListQuery } from "./listing.ts";
import type { IndexDeps } from "./local.ts";
import type { BucketRef, ObjectDescription, ObjectRecord, ObjectRef } from "./records.ts";
import { s3Error } from "./s3-errors.ts";

export interface NewObject {
  readonly staged: StagedFile;
  readonly description: ObjectDescription;
  readonly checksum: Checksum | null;
}

/** Throws to refuse a change, seeing what is there at that very moment. */
export type Precondition = (current: ObjectRecord | undefined) => void;

/** One version of an object, readable until it is disposed though it may be replaced meanwhile. */
export interface OpenObject extends Disposable {
  readonly record: ObjectRecord;
  /** The stream may outlive this: it holds its bytes by itself until it closes. */
  read(range?: ByteRange): Readable;
}

export interface Objects {
  /** Adopts the staged file. Rejects NoSuchBucket and what the precondition throws. */
  put(ref: ObjectRef, object: NewObject, precondition?: Precondition): Promise<ObjectRecord>;
  /** Throws NoSuchBucket and NoSuchKey. */
  open(ref: ObjectRef): OpenObject;
  /** All or none. Rejects NoSuchBucket; an object that is not there is deleted already. */
  delete(ref: BucketRef, keys: readonly string[], precondition?: Precondition): Promise<void>;
  /** Throws NoSuchBucket. */
  list(ref: BucketRef, query: ListQuery): ListPage;
}

/** The objects of the index and the data files in `deps`. */
export function createObjects(deps: IndexDeps): Objects {
  const { db, objects, files, now } = deps;
  return {
    async put(ref, { staged, description, checksum }, precondition) {
      const { fileId, sizeBytes, md5 } = staged;
      const object: ObjectRecord = {
        ...{ key: ref.key, sizeBytes, etag: md5, lastModified: now(), checksum },
        ...description,
        segments: [{ fileId, sizeBytes }],
      };
      const replaced = inTransaction(db, () => replaceObject(deps, ref, object, precondition));
      staged.adopt();
      await files.release(replaced);
      return object;
    },
    open(ref) {
      const record = reading(() => requireObject(deps, ref));
      const pin = files.pin(fileIdsOf(record));
      return {
        record,
        read: (range = { start: 0, end: record.sizeBytes }) => files.read(record.segments, range),
        [Symbol.dispose]: () => pin[Symbol.dispose](),
      };
    },
    async delete(ref, keys, precondition) {
      const released = inTransaction(db, () => {
        requireBucket(deps, ref);
        return keys.flatMap((key) => {
          const current = objects.findObject({ ...ref, key });
          precondition?.(current);
          objects.removeObject({ ...ref, key });
          return fileIdsOf(current);
        });
      });
      await files.release(released);
    },
    list: (ref, query) =>
      reading(() => {
        requireBucket(deps, ref);
        return listPage((from, before) => objects.scanObjects(ref, from, before), query);
      }),
  };
}

/** Writes an object's record inside the caller's transaction and returns the data files it no longer needs. */
export function replaceObject(
  deps: Pick<IndexDeps, "objects">,
  ref: ObjectRef,
  object: ObjectRecord,
  precondition?: Precondition,
): string[] {
  requireBucket(deps, ref);
  const current = deps.objects.findObject(ref);
  precondition?.(current);
  deps.objects.putObject(ref, object);
  return fileIdsOf(current);
}

function requireObject(deps: IndexDeps, ref: ObjectRef): ObjectRecord {
  requireBucket(deps, ref);
  const object = deps.objects.findObject(ref);
  if (object === undefined) throw s3Error("NoSuchKey", undefined, { key: ref.key });
  return object;
}

function fileIdsOf(object: ObjectRecord | undefined): string[] {
  return object?.segments.map(({ fileId }) => fileId) ?? [];
}
