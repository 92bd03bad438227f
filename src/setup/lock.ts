// One set-up at a time on a data directory. The lock is the kernel's, on a file that SQLite opens exclusively: it goes
// with the process that holds it, so a killed set-up never leaves a stale one.

import { setTimeout as sleep } from "node:timers/promises";
import { DatabaseSync } from "node:sqlite";
import { readFile } from "node:fs/promises";
import { writeFileDurably } from "../lib/files.ts";
import { hasErrorCode, ServiceError } from "../errors.ts";

const POLL_MS = 500;
const SQLITE_BUSY = 5;

/**
 * Waits for the lock at `file` and takes it; disposing gives it back. `onWait` hears once, with the holder's pid when
 * known, that another set-up is at work. Rejects with the signal's reason, or SETUP_FAILED when the file cannot be made.
 */
export async function acquireLock(
  file: string,
  onWait: (holder: string) => void,
  signal: AbortSignal,
): Promise<Disposable> {
  for (let isFirst = true; ; isFirst = false) {
    signal.throwIfAborted();
    const lock = tryLock(file);
    if (lock !== undefined) {
      await writeFileDurably(`${file}.holder`, `${process.pid}\n`);
      return lock;
    }
    if (isFirst) onWait(await readHolder(`${file}.holder`));
    await sleep(POLL_MS, undefined, { signal });
  }
}

function tryLock(file: string): Disposable | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database?.close();
    if (isBusy(error)) return undefined;
    throw new ServiceError("SETUP_FAILED", `Cannot lock "${file}"`, { cause: error });
  }
  const held = database;
  let isHeld = true;
  return {
    [Symbol.dispose]() {
      if (isHeld) held.close();
      isHeld = false;
    },
  };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY;
}

async function readHolder(file: string): Promise<string> {
  try {
    return `process ${(await readFile(file, "utf8")).trim()}`;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return "another process";
    throw error;
  }
}
