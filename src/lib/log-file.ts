// A file that lines are appended to in the background. Writing never waits: what comes while the disk is busy goes out
// together, and what does not fit into the buffer is counted and forgotten.
//
// INVARIANTS
// - At most one write, or change of the file, is in progress.
// - At most `BUFFER_LIMIT` characters wait, beside what is being written.

import { type FileHandle, open } from "node:fs/promises";
import { messageOf, ServiceError } from "../errors.ts";
import type { Log } from "./log.ts";

export const BUFFER_LIMIT = 4 * 1024 * 1024;

export interface LogFileDeps {
  /** Told of lines that were lost. */
  readonly log: Log;
}

/** Opens the file at `path` for appending, and makes it if need be. Rejects SETUP_FAILED. */
export async function openLogFile(deps: LogFileDeps, path: string): Promise<LogFile> {
  try {
    return new LogFile(deps, path, await openForAppending(path));
  } catch (error) {
    const message = `Cannot open log file "${path}": ${messageOf(error)}`;
    throw new ServiceError("SETUP_FAILED", message, { cause: error });
  }
}

/** A file of lines. Disposing it writes what it has, then closes it. */
export class LogFile implements AsyncDisposable {
  readonly #deps: LogFileDeps;
  readonly #path: string;
  #handle: FileHandle;
  #lines: string[] = [];
  #waiting = 0;
  #lost = 0;
  #mustReopen = false;
  #isClosed = false;
  #work: Promise<void> | undefined;

  constructor(deps: LogFileDeps, path: string, handle: FileHandle) {
    this.#deps = deps;
    this.#path = path;
    this.#handle = handle;
  }

  /** Appends a line, which ends in a line break. */
  write(line: string): void {
    if (this.#isClosed || this.#waiting + line.length > BUFFER_LIMIT) {
      this.#lose(1, this.#isClosed ? "it is closed" : "the disk is too slow");
      return;
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    this.#work ??= this.#drain();
  }

  /** Goes on in a new file at the same path, after whoever rotates logs has moved this one away. */
  reopen(): void {
    if (this.#isClosed) return;
    this.#mustReopen = true;
    this.#work ??= this.#drain();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#work;
    await this.#handle.close();
  }

  /** Does not reject. */
  async #drain(): Promise<void> {
    // What is written in the same turn goes out together.
    await Promise.resolve();
    while (this.#mustReopen || this.#lines.length > 0) {
      // Lines from before the call belong to the file that was moved; a call from now on is for the next turn.
      const isRotated = this.#mustReopen;
      await this.#writeLines();
      if (isRotated) await this.#changeFile();
    }
    this.#work = undefined;
  }

  async #writeLines(): Promise<void> {
    const lines = this.#lines;
    if (lines.length === 0) return;
    this.#lines = [];
    this.#waiting = 0;
    try {
      await this.#handle.appendFile(lines.join(""));
    } catch (error) {
      this.#lose(lines.length, messageOf(error));
      return;
    }
    if (this.#lost === 0) return;
    this.#deps.log.warn("Lines of a log file were lost", { path: this.#path, lines: this.#lost });
    this.#lost = 0;
  }

  async #changeFile(): Promise<void> {
    this.#mustReopen = false;
    try {
      const before = this.#handle;
      this.#handle = await openForAppending(this.#path);
      await before.close();
    } catch (error) {
      this.#deps.log.error("Cannot reopen log file", { path: this.#path, error });
    }
  }

  /** Said when it begins, and how many they were when lines can be written again. */
  #lose(count: number, reason: string): void {
    if (this.#lost === 0)
      this.#deps.log.warn("Cannot write log file", { path: this.#path, reason });
    this.#lost += count;
  }
}

function openForAppending(path: string): Promise<FileHandle> {
  return open(path, "a", 0o600);
}
