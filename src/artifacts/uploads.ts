// Uploads in parts of the local artifact store. Completing one strings its parts' files together; no byte is copied.

import { createHash, randomBytes } from "node:crypto";
import { inTransaction, reading } from "../store/sqlite-database.ts";
import { requireBucket } from "./buckets.ts";
import { joinChecksums, type Checksum } from "./checksums.ts";
import type { StagedFile } from "./data-files.ts";
import type { UploadPosition } from "./index-uploads.ts";
import type { IndexDeps } from "./local.ts";
import { replaceObject, type Precondition } from "./objects.ts";
import type {
  BucketRef,
  ObjectDescription,
  ObjectRecord,
  ObjectRef,
  PartRecord,
  UploadChecksum,
  UploadRecord,
  UploadRef,
} from "./records.ts";
import { s3Error } from "./s3-errors.ts";

export const MAX_PARTS = 10_000;
const MIN_PART_BYTES = 5 * 1024 * 1024;
/** Per bucket, so that forgotten uploads cannot pile up without end. */
const MAX_UPLOADS = 1000;

/** A part as the client names it when it completes an upload. */
export interface NamedPart {
  readonly number: number;
  /** Without quotes. */
  readonly etag: string;
  /** Base64; undefined when the client leaves it out. */
  readonly checksum?: string | undefined;
}

export interface Completion {
  readonly parts: readonly NamedPart[];
  readonly precondition?: Precondition;
  /** What the client expects of the whole object; undefined members are not checked. */
  readonly expected: {
    readonly checksum?: string | undefined;
    readonly sizeBytes?: number | undefined;
  };
  readonly maxBytes: number;
}

export interface Uploads {
  /** Throws NoSuchBucket, and SlowDown when the bucket has too many. */
  create(
    ref: ObjectRef,
    description: ObjectDescription,
    checksum: UploadChecksum | null,
  ): UploadRecord;
  /** Throws NoSuchUpload. */
  get(ref: UploadRef): UploadRecord;
  /** Adds or replaces a part and adopts the staged file. Rejects NoSuchUpload. */
  putPart(
    ref: UploadRef,
    number: number,
    staged: StagedFile,
    checksum: Checksum | null,
  ): Promise<void>;
  /** Turns the parts into the object. Rejects NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall and others. */
  complete(ref: UploadRef, completion: Completion): Promise<ObjectRecord>;
  /** Rejects NoSuchUpload. */
  abort(ref: UploadRef): Promise<void>;
  /** At most `limit` parts with a number above `after`. */
  listParts(ref: UploadRef, after: number, limit: number): PartRecord[];
  /** At most `limit` uploads after `position` whose key begins with `prefix`. */
  list(ref: BucketRef, prefix: string, position: UploadPosition, limit: number): UploadRecord[];
}

/** The uploads of the index and the data files in `deps`. */
export function createUploads(deps: IndexDeps): Uploads {
  const { db, uploads, files, now } = deps;
  return {
    create: (ref, description, checksum) =>
      inTransaction(db, () => {
        requireBucket(deps, ref);
        if (uploads.countUploads(ref) >= MAX_UPLOADS)
          throw s3Error("SlowDown", `Bucket "${ref.bucket}" has too many unfinished uploads`);
        const uploadId = randomBytes(32).toString("base64url");
        const upload = { key: ref.key, uploadId, createdAt: now(), checksum, ...description };
        uploads.addUpload(ref, upload);
        return upload;
      }),
    get: (ref) => reading(() => requireUpload(deps, ref)),
    async putPart(ref, number, staged, checksum) {
      const { fileId, sizeBytes, md5 } = staged;
      const replaced = inTransaction(db, () => {
        requireUpload(deps, ref);
        const current = uploads.findPart(ref.uploadId, number);
        const part = { number, sizeBytes, etag: md5, lastModified: now(), checksum, fileId };
        uploads.putPart(ref.uploadId, part);
        return current === undefined ? [] : [current.fileId];
      });
      staged.adopt();
      await files.release(replaced);
    },
    async complete(ref, completion) {
      const { object, unneeded } = inTransaction(db, () => completeUpload(deps, ref, completion));
      await files.release(unneeded);
      return object;
    },
    async abort(ref) {
      const released = inTransaction(db, () => {
        requireUpload(deps, ref);
        return dropUpload(deps, ref.uploadId);
      });
      await files.release(released);
    },
    listParts: (ref, after, limit) =>
      reading(() => {
        requireUpload(deps, ref);
        return uploads.listParts(ref.uploadId, after, limit);
      }),
    list: (ref, prefix, position, limit) =>
      reading(() => {
        requireBucket(deps, ref);
        return uploads.listUploads(ref, prefix, position, limit);
      }),
  };
}

/** Removes an upload's records inside the caller's transaction and returns its data files. */
export function dropUpload({ uploads }: Pick<IndexDeps, "uploads">, uploadId: string): string[] {
  const fileIds = uploads.listParts(uploadId, 0, MAX_PARTS).map(({ fileId }) => fileId);
  uploads.removeUpload(uploadId);
  return fileIds;
}

function requireUpload(deps: IndexDeps, ref: UploadRef): UploadRecord {
  requireBucket(deps, ref);
  const upload = deps.uploads.findUpload(ref);
  if (upload === undefined) throw s3Error("NoSuchUpload", undefined, { uploadId: ref.uploadId });
  return upload;
}

function completeUpload(deps: IndexDeps, ref: UploadRef, completion: Completion) {
  const upload = requireUpload(deps, ref);
  const stored = deps.uploads.listParts(ref.uploadId, 0, MAX_PARTS);
  const parts = chooseParts(stored, completion.parts);
  const object = assemble(deps.now(), upload, parts);
  checkExpected(object, completion);
  const replaced = replaceObject(deps, ref, object, completion.precondition);
  const kept = new Set(parts.map(({ fileId }) => fileId));
  const dropped = dropUpload(deps, ref.uploadId).filter((fileId) => !kept.has(fileId));
  return { object, unneeded: [...replaced, ...dropped] };
}

function chooseParts(stored: readonly PartRecord[], named: readonly NamedPart[]): PartRecord[] {
  const byNumber = new Map(stored.map((part) => [part.number, part]));
  let previous = 0;
  const parts = named.map(({ number, etag, checksum }) => {
    if (number <= previous) throw s3Error("InvalidPartOrder");
    previous = number;
    const part = byNumber.get(number);
    const isSame =
      part?.etag === etag && (checksum === undefined || checksum === part.checksum?.value);
    if (part === undefined || !isSame)
      throw s3Error("InvalidPart", undefined, { partNumber: number });
    return part;
  });
  const small = parts.slice(0, -1).find(({ sizeBytes }) => sizeBytes < MIN_PART_BYTES);
  if (small !== undefined) throw s3Error("EntityTooSmall", undefined, { partNumber: small.number });
  return parts;
}

function assemble(now: number, upload: UploadRecord, parts: readonly PartRecord[]): ObjectRecord {
  const { key, headers, userMetadata, checksum } = upload;
  const md5 = createHash("md5");
  for (const { etag } of parts) md5.update(etag, "hex");
  return {
    ...{ key, headers, userMetadata, lastModified: now },
    sizeBytes: parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    etag: `${md5.digest("hex")}-${parts.length}`,
    checksum: checksum === null ? null : joinPartChecksums(checksum, parts),
    segments: parts.map(({ fileId, sizeBytes }) => ({ fileId, sizeBytes })),
  };
}

function joinPartChecksums({ algorithm, type }: UploadChecksum, parts: readonly PartRecord[]) {
  const pieces = parts.map(({ checksum, sizeBytes }) => ({
    value: checksum?.value ?? "",
    sizeBytes,
  }));
  return joinChecksums(algorithm, type, pieces);
}

function checkExpected({ sizeBytes, checksum }: ObjectRecord, { expected, maxBytes }: Completion) {
  if (sizeBytes > maxBytes) throw s3Error("EntityTooLarge");
  if (expected.sizeBytes !== undefined && expected.sizeBytes !== sizeBytes)
    throw s3Error(
      "InvalidRequest",
      "The provided 'x-amz-mp-object-size' header value does not match what was computed",
    );
  if (expected.checksum !== undefined && expected.checksum !== checksum?.value)
    throw s3Error("BadDigest", "The checksum you specified did not match what we computed.");
}
