// Durable file writes and tidy removal. A file that this module wrote is either its old or its new self after a crash.

import { mkdir, open, rename, rm } from "node:fs/promises";
import path from "node:path";

/** Replaces `file` with `data`: written beside it, synced, renamed, directory synced. Mode defaults to 0o600. */
export async function writeFileDurably(
  file: string,
  data: string | Uint8Array,
  mode = 0o600,
): Promise<void> {
  const temporary = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
  try {
    await using handle = await open(temporary, "wx", mode);
    await handle.writeFile(data);
    await handle.sync();
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(path.dirname(file));
}

/** Makes renames and removals in `directory` durable. */
export async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, "r");
  await handle.sync();
}

/** Makes a file's content durable, for files that another program wrote. */
export async function syncFile(file: string): Promise<void> {
  await using handle = await open(file, "r+");
  await handle.datasync();
}

/** Renames durably: after a crash `to` is either what it was or complete. Both must be on one file system. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncDirectory(path.dirname(to));
  if (path.dirname(from) !== path.dirname(to)) await syncDirectory(path.dirname(from));
}

/** Creates a directory for this user alone and its parents; an existing one is fine. */
export async function makePrivateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
}
