// Brings a database to this version's schema: numbered migrations, each in one transaction with its version row.

import type { DatabaseSync } from "node:sqlite";
import { ServiceError } from "../errors.ts";
import { initial } from "./migrations/0001-initial.ts";
import { imageVersions } from "./migrations/0002-image-versions.ts";
import { inTransaction } from "./sqlite-database.ts";

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** Every migration, in order. Released ones never change. */
export const MIGRATIONS: readonly Migration[] = [initial, imageVersions];

/** Applies the migrations that `db` lacks. Throws SETUP_FAILED for a database that a newer torpor made. */
export function migrate(db: DatabaseSync, file: string, migrations = MIGRATIONS): void {
  inTransaction(db, () =>
    db.exec(
      "CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
    ),
  );
  const row = db.prepare("SELECT coalesce(max(version), 0) AS version FROM schema_versions").get();
  const present = Number(row?.["version"]);
  const newest = migrations.at(-1)?.version ?? 0;
  if (present > newest) {
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot open database "${file}": its schema version ${present} is newer than ${newest}, the newest this torpor knows`,
    );
  }
  for (const { version, name, sql } of migrations.filter((each) => each.version > present)) {
    inTransaction(db, () => {
      db.exec(sql);
      db.prepare("INSERT INTO schema_versions VALUES (?, ?, ?)").run(version, name, Date.now());
    });
  }
}
