// Bytes of objects and parts: one file each under a random name, written once, synced before anyone refers to it, and
// removed when nobody does. What the index does not name after a crash is swept at start.

import { createHash, randomUUID } from "node:crypto";
import { open, readdir, rm, statfs, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { hasErrorCode } from "../errors.ts";
import { makePrivateDirectory, syncDirectory } from "../lib/files.ts";
import type { Log } from "../lib/log.ts";
import type { Segment } from "./records.ts";
import { s3Error } from "./s3-errors.ts";

/** A complete file that no record refers to yet. Disposing it removes it, unless it was adopted. */
export interface StagedFile extends AsyncDisposable {
  readonly fileId: string;
  readonly sizeBytes: number;
  /** Hex. */
  readonly md5: string;
  /** A committed record refers to the file from here on. */
  adopt(): void;
}

export interface StageLimits {
  readonly maxBytes: number;
  /** What the client announced, to refuse early what has no room; undefined when it did not say. */
  readonly expectedBytes?: number | undefined;
}

/** Inclusive start, exclusive end, in bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

const READ_BYTES = 256 * 1024;

/** Opens the directory of data files, creating it. */
export async function openDataFiles(deps: { readonly log: Log }, directory: string) {
  await makePrivateDirectory(directory);
  return new DataFiles(deps, directory);
}

/**
 * The data files of one directory.
 *
 * INVARIANTS: a file that a reader has pinned stays until its last pin goes; a file is removed only after the record
 * that named it is gone from the index.
 */
export class DataFiles implements AsyncDisposable {
  readonly #log: Log;
  readonly #directory: string;
  readonly #pins = new Map<string, number>();
  /** Unreferenced, but pinned. */
  readonly #unwanted = new Set<string>();
  readonly #removals = new Set<Promise<void>>();

  constructor({ log }: { readonly log: Log }, directory: string) {
    this.#log = log;
    this.#directory = directory;
  }

  /**
   * Writes `source` to a new file and syncs it. Rejects EntityTooLarge or InsufficientStorage, or with what the source
   * throws; then nothing is left of it. Caller disposes.
   */
  async stage(
    source: AsyncIterable<Uint8Array>,
    { maxBytes, expectedBytes = 0 }: StageLimits,
    signal: AbortSignal,
  ): Promise<StagedFile> {
    if (expectedBytes > maxBytes) throw s3Error("EntityTooLarge");
    await this.#requireSpace(expectedBytes);
    const fileId = randomUUID();
    try {
      const written = await this.#write(fileId, source, maxBytes, signal);
      return this.#staged(fileId, written);
    } catch (error) {
      await rm(this.#pathOf(fileId), { force: true });
      if (hasErrorCode(error, "ENOSPC", "EDQUOT")) throw s3Error("InsufficientStorage");
      throw error;
    }
  }

  async #write(
    fileId: string,
    source: AsyncIterable<Uint8Array>,
    maxBytes: number,
    signal: AbortSignal,
  ) {
    const md5 = createHash("md5");
    let sizeBytes = 0;
    await using handle = await open(this.#pathOf(fileId), "wx", 0o600);
    for await (const chunk of source) {
      signal.throwIfAborted();
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw s3Error("EntityTooLarge");
      md5.update(chunk);
      await writeFully(handle, chunk);
    }
    await handle.datasync();
    await syncDirectory(this.#directory);
    return { sizeBytes, md5: md5.digest("hex") };
  }

  #staged(fileId: string, written: { sizeBytes: number; md5: string }): StagedFile {
    let isOwned = true;
    return {
      fileId,
      ...written,
      adopt: () => {
        isOwned = false;
      },
      [Symbol.asyncDispose]: async () => {
        if (!isOwned) return;
        isOwned = false;
        await rm(this.#pathOf(fileId), { force: true });
      },
    };
  }

  /** Keeps files readable until the result is disposed, even if their records go away meanwhile. */
  pin(fileIds: readonly string[]): Disposable {
    for (const fileId of fileIds) this.#pins.set(fileId, (this.#pins.get(fileId) ?? 0) + 1);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        for (const fileId of fileIds) this.#unpin(fileId);
      },
    };
  }

  #unpin(fileId: string): void {
    const left = (this.#pins.get(fileId) ?? 1) - 1;
    if (left > 0) {
      this.#pins.set(fileId, left);
      return;
    }
    this.#pins.delete(fileId);
    if (this.#unwanted.delete(fileId)) void this.#remove(fileId);
  }

  /** Removes files that no record names any more; those that are being read, later. */
  async release(fileIds: readonly string[]): Promise<void> {
    const free: string[] = [];
    for (const fileId of fileIds) {
      if (this.#pins.has(fileId)) this.#unwanted.add(fileId);
      else free.push(fileId);
    }
    for (const fileId of free) await this.#remove(fileId);
  }

  #remove(fileId: string): Promise<void> {
    const removal = rm(this.#pathOf(fileId), { force: true })
      .catch((error: unknown) => {
        // Nothing refers to the file, so the sweep of the next start takes it.
        this.#log.warn("Cannot remove an artifact's data file", { fileId, error });
      })
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
    return removal;
  }

  /** The bytes of `range` over all segments, pinned until the stream closes. */
  read(segments: readonly Segment[], range: ByteRange): Readable {
    const pin = this.pin(segments.map(({ fileId }) => fileId));
    const stream = Readable.from(this.#chunks(segments, range), {
      objectMode: false,
      highWaterMark: READ_BYTES,
    });
    return stream.once("close", () => pin[Symbol.dispose]());
  }

  async *#chunks(segments: readonly Segment[], { start, end }: ByteRange) {
    let segmentStart = 0;
    for (const { fileId, sizeBytes } of segments) {
      const from = Math.max(start - segmentStart, 0);
      const to = Math.min(end - segmentStart, sizeBytes);
      segmentStart += sizeBytes;
      if (from < to) yield* readFileRange(this.#pathOf(fileId), { start: from, end: to });
    }
  }

  /** Removes every file that is not in `wanted`. At start only: it takes files that are being staged, too. */
  async sweep(wanted: ReadonlySet<string>): Promise<number> {
    const leftovers = (await readdir(this.#directory)).filter((name) => !wanted.has(name));
    for (const name of leftovers) await rm(this.#pathOf(name), { force: true, recursive: true });
    return leftovers.length;
  }

  async #requireSpace(expectedBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#directory);
    if (expectedBytes > bavail * bsize) throw s3Error("InsufficientStorage");
  }

  #pathOf(fileId: string): string {
    return path.join(this.#directory, fileId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#removals);
  }
}

async function writeFully(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let offset = 0; offset < chunk.length;) {
    const { bytesWritten } = await handle.write(chunk, offset);
    offset += bytesWritten;
  }
}

async function* readFileRange(file: string, { start, end }: ByteRange): AsyncGenerator<Buffer> {
  await using handle = await open(file, "r");
  for (let position = start; position < end;) {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, end - position));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) throw s3Error("InternalError", `Data file "${file}" is too short`);
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
