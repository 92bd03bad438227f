// The files of one microVM, `microvms/ID/`: its disk, and while it is suspended its saved state.
//
// A saved state is valid only together with the disk as it was when the state was saved. So it is renamed from
// `saved` to `used`, durably, before the guest may run again: whatever crashes afterwards, no old memory meets a
// newer disk.

import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { hasErrorCode } from "../errors.ts";
import { runCommand } from "../lib/command.ts";
import { renameDurably, syncDirectory } from "../lib/files.ts";

export interface SavedState {
  readonly directory: string;
  readonly memoryDiff: string;
  readonly devices: string;
}

export interface MicrovmFiles {
  readonly directory: string;
  readonly disk: string;
  /** Complete and valid when it exists. */
  readonly saved: SavedState;
  /** A saved state while it is written. */
  readonly saving: SavedState;
  /** A saved state whose guest may have run since. */
  readonly used: SavedState;
}

/** Names the files of a microVM. */
export function microvmFiles(microvmsDir: string, microvmId: string): MicrovmFiles {
  const directory = path.join(microvmsDir, microvmId);
  const state = (name: string): SavedState => ({
    directory: path.join(directory, name),
    memoryDiff: path.join(directory, name, "memory"),
    devices: path.join(directory, name, "devices"),
  });
  return {
    directory,
    disk: path.join(directory, "disk"),
    saved: state("saved"),
    saving: state("saving"),
    used: state("used"),
  };
}

/** Makes the microVM's directory and its disk, a sparse or reflinked copy of the image's. */
export async function createMicrovmFiles(
  files: MicrovmFiles,
  imageDisk: string,
  signal: AbortSignal,
): Promise<void> {
  // What an interrupted launch of the same microVM left is of no use: its guest never became visible.
  await rm(files.directory, { recursive: true, force: true });
  await mkdir(files.directory, { recursive: true, mode: 0o700 });
  const args = ["--reflink=auto", "--sparse=always", imageDisk, files.disk];
  await runCommand("cp", args, { errorCode: "VMM_FAILED" }, signal);
}

/** An empty directory to save state in. */
export async function beginSave(files: MicrovmFiles): Promise<SavedState> {
  await rm(files.saving.directory, { recursive: true, force: true });
  await mkdir(files.saving.directory, { mode: 0o700 });
  return files.saving;
}

/** Makes the written state the saved one. Its files are synced by whoever wrote them; the disk is synced here. */
export async function commitSave(files: MicrovmFiles): Promise<void> {
  await using disk = await open(files.disk, "r+");
  await disk.datasync();
  await syncDirectory(files.saving.directory);
  await renameDurably(files.saving.directory, files.saved.directory);
}

/**
 * Takes back a save that did not come to its end, at whatever point: afterwards no state exists, durably, and the guest
 * may run on.
 */
export async function abandonSave(files: MicrovmFiles): Promise<void> {
  await rm(files.saved.directory, { recursive: true, force: true });
  await rm(files.saving.directory, { recursive: true, force: true });
  await syncDirectory(files.directory);
}

/** Marks the saved state as used, durably. Call before the guest runs. */
export async function markUsed(files: MicrovmFiles): Promise<void> {
  await rm(files.used.directory, { recursive: true, force: true });
  await renameDurably(files.saved.directory, files.used.directory);
}

/** Takes back `markUsed` for a guest that provably never ran. */
export async function unmarkUsed(files: MicrovmFiles): Promise<void> {
  try {
    await rename(files.used.directory, files.saved.directory);
    await syncDirectory(files.directory);
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT")) throw error;
  }
}

/** Removes state that is no longer, or not yet, valid. */
export async function dropStaleState(files: MicrovmFiles): Promise<void> {
  await rm(files.used.directory, { recursive: true, force: true });
  await rm(files.saving.directory, { recursive: true, force: true });
}

/** Whether a complete saved state exists. */
export async function hasSavedState(files: MicrovmFiles): Promise<boolean> {
  try {
    return (await stat(files.saved.directory)).isDirectory();
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

/** Ids of all microVMs that have files. */
export async function listMicrovmFiles(microvmsDir: string): Promise<string[]> {
  try {
    return await readdir(microvmsDir);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return [];
    throw error;
  }
}
