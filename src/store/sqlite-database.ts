// One SQLite connection: how it is opened, its transactions, its failures as ServiceErrors, typed reading of rows.

import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { ServiceError } from "../errors.ts";

export type Row = Record<string, SQLOutputValue>;

/** How long opening waits for another process to let go of the database. */
const BUSY_TIMEOUT_MS = 5000;

// https://www.sqlite.org/rescode.html
const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;
/** SQLite's own 2 MiB hold some three thousand microVMs; of more, a page of a list would be read from disk each time. */
const CACHE_KIB = 32 * 1024;

/**
 * Opens `file` for this process alone: two services on one data directory would both act for every microVM. Caller
 * closes. Throws SETUP_FAILED when another process holds it.
 */
export function openDatabase(file: string, busyTimeoutMs = BUSY_TIMEOUT_MS): DatabaseSync {
  // SQLite would create a world-readable file, and gives its journal files the mode of the database.
  if (file !== ":memory:") closeSync(openSync(file, "a", 0o600));
  const db = new DatabaseSync(file, { timeout: busyTimeoutMs });
  try {
    db.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = ON;
      PRAGMA trusted_schema = OFF;
      PRAGMA secure_delete = ON;
      PRAGMA cache_size = ${-CACHE_KIB};
      BEGIN IMMEDIATE;
      COMMIT;
    `);
    return db;
  } catch (error) {
    db.close();
    if (resultCodeOf(error) !== SQLITE_BUSY) throw asServiceError(error);
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot open database "${file}": another torpor service uses this data directory`,
      { cause: error },
    );
  }
}

/** Runs `work` in one transaction; anything it throws undoes it. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  try {
    db.exec("BEGIN IMMEDIATE");
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    // Some failures, a full disk among them, have rolled the transaction back already.
    if (db.isTransaction) db.exec("ROLLBACK");
    throw asServiceError(error);
  }
}

/** Runs `read` outside a transaction: one statement is one by itself. */
export function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw asServiceError(error);
  }
}

function asServiceError(error: unknown): unknown {
  const code = resultCodeOf(error);
  if (code === undefined) return error;
  return code === SQLITE_FULL
    ? new ServiceError("STORAGE_FULL", "Cannot write the database: the disk is full", {
        cause: error,
      })
    : new ServiceError("INTERNAL", "Cannot use the database", { cause: error, details: { code } });
}

/** SQLite's primary result code; undefined for other errors. */
function resultCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode & 0xff : undefined;
}

/** A text column. */
export function textOf(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw new TypeError(`Column "${column}" is not text`);
  return value;
}

/** A text column that may be null. */
export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : textOf(row, column);
}

/** An integer column. */
export function numberOf(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== "number") throw new TypeError(`Column "${column}" is not a number`);
  return value;
}

/** An integer column that may be null. */
export function numberOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : numberOf(row, column);
}

/** A JSON column, as this store wrote it. */
export function jsonOf(row: Row, column: string): unknown {
  return JSON.parse(textOf(row, column));
}

/** A JSON column that may be null. */
export function jsonOrNull(row: Row, column: string): unknown {
  return row[column] === null ? null : jsonOf(row, column);
}

/** A value for a JSON column. */
export function toJson(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value);
}
