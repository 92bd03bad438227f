// The SQLite store: one file, one process, write-ahead log, every commit on disk before it is answered.

import { migrate } from "./migrate.ts";
import { sqliteConnectors } from "./sqlite-connectors.ts";
import { openDatabase } from "./sqlite-database.ts";
import { sqliteImages } from "./sqlite-images.ts";
import { sqliteMicrovms } from "./sqlite-microvms.ts";
import type { Store } from "./store.ts";

/**
 * Opens the store in `file`, made or brought up to date as needed. Caller disposes. Rejects SETUP_FAILED when another
 * service has it open or a newer one made it.
 */
export async function openSqliteStore(
  file: string,
  options: { readonly busyTimeoutMs?: number } = {},
): Promise<Store> {
  const db = openDatabase(file, options.busyTimeoutMs);
  try {
    migrate(db, file);
    return {
      microvms: sqliteMicrovms(db),
      images: sqliteImages(db),
      connectors: sqliteConnectors(db),
      async [Symbol.asyncDispose]() {
        if (db.isOpen) db.close();
      },
    };
  } catch (error) {
    db.close();
    throw error;
  }
}
