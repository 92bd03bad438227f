// Brings a database to this version's schema: numbered migrations, each in one transaction with its version row.

import type { DatabaseSync } from "node:sqlite";
import { ServiceError } from "../errors.ts";
import { initial } from "./migrations/0001-initial.ts";
import { imageVersions } from "./migrations/0002-image-versions.ts";
import { networkConnectors } from "./migrations/0010-network-connectors.ts";
import { inTransaction, numberOf } from "./sqlite-database.ts";

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** Every migration, in order. Released ones never change. Numbers may leave gaps, to be filled later. */
export const MIGRATIONS: readonly Migration[] = [initial, imageVersions, networkConnectors];

/** Applies the migrations that `db` lacks. Throws SETUP_FAILED for a database that a newer torpor made. */
export function migrate(db: DatabaseSync, file: string, migrations = MIGRATIONS): void {
  inTransaction(db, () =>
    db.exec(
      "CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
    ),
  );
  const rows = db.prepare("SELECT version FROM schema_versions ORDER BY version").all();
  const present = rows.map((row) => numberOf(row, "version"));
  const newest = migrations.at(-1)?.version ?? 0;
  const newestPresent = present.at(-1) ?? 0;
  if (newestPresent > newest) {
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot open database "${file}": its schema version ${newestPresent} is newer than ${newest}, the newest this torpor knows`,
    );
  }
  // Each by its own number, not by the highest one: a migration may come into a gap below one that was applied.
  for (const { version, name, sql } of migrations) {
    if (present.includes(version)) continue;
    inTransaction(db, () => {
      db.exec(sql);
      db.prepare("INSERT INTO schema_versions VALUES (?, ?, ?)").run(version, name, Date.now());
    });
  }
}
