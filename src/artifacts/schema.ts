// Tables of the artifact store's index. Keys are blobs: S3 orders them by their UTF-8 bytes, and so do blobs.

import type { Migration } from "../store/migrate.ts";

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: "initial",
    sql: `
      CREATE TABLE buckets (
        account TEXT NOT NULL,
        name TEXT NOT NULL,
        region TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (account, name)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE objects (
        account TEXT NOT NULL,
        bucket TEXT NOT NULL,
        key BLOB NOT NULL,
        size_bytes INTEGER NOT NULL,
        etag TEXT NOT NULL,
        last_modified INTEGER NOT NULL,
        checksum TEXT,
        headers TEXT NOT NULL,
        user_metadata TEXT NOT NULL,
        segments TEXT NOT NULL,
        PRIMARY KEY (account, bucket, key),
        FOREIGN KEY (account, bucket) REFERENCES buckets (account, name)
      ) STRICT;

      CREATE TABLE uploads (
        upload_id TEXT NOT NULL PRIMARY KEY,
        account TEXT NOT NULL,
        bucket TEXT NOT NULL,
        key BLOB NOT NULL,
        created_at INTEGER NOT NULL,
        checksum TEXT,
        headers TEXT NOT NULL,
        user_metadata TEXT NOT NULL,
        FOREIGN KEY (account, bucket) REFERENCES buckets (account, name)
      ) STRICT;
      CREATE INDEX uploads_by_key ON uploads (account, bucket, key, upload_id);

      CREATE TABLE parts (
        upload_id TEXT NOT NULL REFERENCES uploads (upload_id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        etag TEXT NOT NULL,
        last_modified INTEGER NOT NULL,
        checksum TEXT,
        file_id TEXT NOT NULL,
        PRIMARY KEY (upload_id, number)
      ) STRICT, WITHOUT ROWID;
    `,
  },
];
