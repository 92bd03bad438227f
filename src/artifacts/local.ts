// The artifact store of this machine: an index in SQLite and a directory of data files.
//
//   artifacts/index.db    buckets, objects, uploads in parts; the truth
//   artifacts/data/ID     bytes of one object or part
//
// INVARIANTS: a data file is complete and synced before a record names it; what no record names is removed, at start
// the latest. A key is never part of a path.

import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Log } from "../lib/log.ts";
import { migrate } from "../store/migrate.ts";
import { inTransaction, openDatabase } from "../store/sqlite-database.ts";
import { createBuckets, type Buckets } from "./buckets.ts";
import { openDataFiles, type DataFiles, type StagedFile, type StageLimits } from "./data-files.ts";
import { createObjectIndex, type ObjectIndex } from "./index-objects.ts";
import { createUploadIndex, type UploadIndex } from "./index-uploads.ts";
import { createObjects, type Objects } from "./objects.ts";
import { MIGRATIONS } from "./schema.ts";
import { createUploads, dropUpload, type Uploads } from "./uploads.ts";

/** Disposing it waits for removals and closes the index; reads and writes must have ended. */
export interface ArtifactStore extends AsyncDisposable {
  readonly buckets: Buckets;
  readonly objects: Objects;
  readonly uploads: Uploads;
  /** Writes bytes that are to become an object or a part. Rejects EntityTooLarge and InsufficientStorage. */
  stage(
    source: AsyncIterable<Uint8Array>,
    limits: StageLimits,
    signal: AbortSignal,
  ): Promise<StagedFile>;
}

/** What the store's parts work on. */
export interface IndexDeps {
  readonly db: DatabaseSync;
  readonly objects: ObjectIndex;
  readonly uploads: UploadIndex;
  readonly files: DataFiles;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface LocalStoreDeps {
  readonly log: Log;
  readonly now: () => number;
}

/** The service's own database already waited for another service to let go of the data directory. */
const BUSY_TIMEOUT_MS = 250;

/** An upload in parts that was begun longer ago is given up, at start. */
const UPLOAD_LIFETIME_MS = 7 * 24 * 60 * 60 * 1000;

/** Opens the store under `directory`, creating it, and removes what a crash left. Rejects SETUP_FAILED when in use. */
export async function openLocalStore(
  { log, now }: LocalStoreDeps,
  directory: string,
): Promise<ArtifactStore> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await using acquired = new AsyncDisposableStack();
  const file = path.join(directory, "index.db");
  const db = openDatabase(file, BUSY_TIMEOUT_MS);
  acquired.defer(() => db.close());
  migrate(db, file, MIGRATIONS);
  const files = acquired.use(await openDataFiles({ log }, path.join(directory, "data")));
  const deps: IndexDeps = {
    ...{ db, files, now },
    objects: createObjectIndex(db),
    uploads: createUploadIndex(db),
  };
  await removeLeftovers(deps, log);
  const resources = acquired.move();
  return {
    buckets: createBuckets(deps),
    objects: createObjects(deps),
    uploads: createUploads(deps),
    stage: (source, limits, signal) => files.stage(source, limits, signal),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function removeLeftovers({ db, objects, uploads, files, now }: IndexDeps, log: Log) {
  const expired = inTransaction(db, () => {
    const uploadIds = uploads.uploadsBefore(now() - UPLOAD_LIFETIME_MS);
    for (const uploadId of uploadIds) dropUpload({ uploads }, uploadId);
    return uploadIds.length;
  });
  const removed = await files.sweep(new Set([...objects.fileIds(), ...uploads.fileIds()]));
  if (expired + removed > 0)
    log.info("Artifact leftovers removed", { expiredUploads: expired, dataFiles: removed });
}
