// Opens a code archive into a fresh directory. Nothing is written outside it: real directories are made one component at
// a time, files are created exclusively, and symbolic links come last, so that no entry is ever written through one.

import { constants } from "node:fs";
import { chmod, lchown, lutimes, mkdir, open, stat, symlink } from "node:fs/promises";
import path from "node:path";
import { crc32 } from "node:zlib";
import { openPromise, type Entry, type ZipFile } from "yauzl";
import { hasErrorCode, isServiceError, messageOf } from "../errors.ts";
import {
  ARCHIVE_LIMITS,
  archiveInvalid,
  checkSymlinkTarget,
  readMember,
  type ArchiveLimits,
  type ArchiveMember,
} from "./archive-entry.ts";
import { buildFailure, isDiskFull } from "./failure.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface ExtractRequest {
  readonly archivePath: string;
  /** Created; its parent must exist and belong to the service alone. */
  readonly targetDir: string;
  /** Who gets everything that is written; the service's own user unless given. */
  readonly owner?: Owner;
  readonly limits?: ArchiveLimits;
}

export interface ExtractResult {
  readonly entries: number;
  /** Contents of all files, decompressed. */
  readonly bytes: number;
}

/** What one run has seen so far; the limits are checked against it. */
interface Extraction {
  readonly zip: ZipFile;
  readonly request: ExtractRequest;
  readonly limits: ArchiveLimits;
  readonly archiveBytes: number;
  readonly kinds: Map<string, ArchiveMember["kind"]>;
  readonly directories: { readonly file: string; readonly member: ArchiveMember }[];
  readonly symlinks: { readonly member: ArchiveMember; readonly target: string }[];
  entries: number;
  bytes: number;
  compressedBytes: number;
  nameBytes: number;
}

/**
 * Extracts the archive. Rejects BUILD_FAILED with reason ARCHIVE_INVALID, ARCHIVE_DOCKERFILE_NOT_FOUND or
 * DISK_STORAGE_FULL; what was written until then stays for the caller to remove.
 */
export async function extractArchive(
  request: ExtractRequest,
  signal: AbortSignal,
): Promise<ExtractResult> {
  signal.throwIfAborted();
  try {
    return await extract(request, signal);
  } catch (error) {
    if (signal.aborted || isServiceError(error)) throw error;
    if (isDiskFull(error)) {
      throw buildFailure("DISK_STORAGE_FULL", "Cannot extract the code artifact: disk full", {
        cause: error,
      });
    }
    if (isSystemError(error)) throw error;
    throw archiveInvalid(messageOf(error), error);
  }
}

async function extract(request: ExtractRequest, signal: AbortSignal): Promise<ExtractResult> {
  const { size } = await stat(request.archivePath);
  const zip = await openPromise(request.archivePath, {
    autoClose: false,
    lazyEntries: true,
    strictFileNames: true,
    validateEntrySizes: true,
  });
  try {
    return await extractEntries(zip, size, request, signal);
  } finally {
    zip.close();
  }
}

async function extractEntries(
  zip: ZipFile,
  archiveBytes: number,
  request: ExtractRequest,
  signal: AbortSignal,
): Promise<ExtractResult> {
  await mkdir(request.targetDir, { mode: 0o700 });
  const run: Extraction = {
    ...{ zip, request, archiveBytes, limits: request.limits ?? ARCHIVE_LIMITS },
    ...{ kinds: new Map(), directories: [], symlinks: [] },
    ...{ entries: 0, bytes: 0, compressedBytes: 0, nameBytes: 0 },
  };
  for await (const entry of zip.eachEntry()) {
    signal.throwIfAborted();
    await extractEntry(run, entry, signal);
  }
  if (run.kinds.get("Dockerfile") !== "file") {
    throw buildFailure(
      "ARCHIVE_DOCKERFILE_NOT_FOUND",
      'The code artifact has no file "Dockerfile" at its root',
    );
  }
  await finish(run);
  return { entries: run.entries, bytes: run.bytes };
}

async function extractEntry(run: Extraction, entry: Entry, signal: AbortSignal): Promise<void> {
  checkLimits(run, entry);
  const member = readMember(entry);
  if (member === undefined) return;
  const parent = await makeParents(run, member.components.slice(0, -1));
  const file = path.join(parent, member.components.at(-1) ?? "");
  const name = member.components.join("/");
  const known = run.kinds.get(name);
  if (known !== undefined && !(known === "directory" && member.kind === "directory")) {
    throw archiveInvalid(`entry ${JSON.stringify(name)} occurs twice`);
  }
  run.kinds.set(name, member.kind);
  switch (member.kind) {
    case "directory":
      if (known === undefined) await makeDirectory(run, file);
      run.directories.push({ file, member });
      return;
    case "file":
      await writeFile(run, entry, file, member, signal);
      return;
    case "symlink": {
      const target = await readTarget(run, entry);
      checkSymlinkTarget(member, target);
      run.symlinks.push({ member, target });
    }
  }
}

/** Counts an entry by what its header declares; yauzl holds the contents to it. */
function checkLimits(run: Extraction, entry: Entry): void {
  const { limits } = run;
  run.entries += 1;
  run.bytes += entry.uncompressedSize;
  run.compressedBytes += entry.compressedSize;
  countName(run, entry.fileNameRaw.length);
  const shown = JSON.stringify(entry.fileName.slice(0, 200));
  const exceeds = (bytes: number, compressed: number, ratio: number) =>
    bytes > limits.ratioFreeBytes && bytes > compressed * ratio;
  if (run.entries > limits.entries) throw archiveInvalid(`more than ${limits.entries} entries`);
  if (run.bytes > limits.totalBytes) {
    throw archiveInvalid(`larger than ${limits.totalBytes} bytes when decompressed`);
  }
  // Entries that share compressed bytes are the other way to make much out of little.
  if (run.compressedBytes > run.archiveBytes) throw archiveInvalid("its entries overlap");
  if (exceeds(entry.uncompressedSize, entry.compressedSize, limits.entryRatio)) {
    throw archiveInvalid(`entry ${shown} is compressed more than ${limits.entryRatio} times`);
  }
  if (exceeds(run.bytes, run.compressedBytes, limits.totalRatio)) {
    throw archiveInvalid(`compressed more than ${limits.totalRatio} times`);
  }
}

function countName(run: Extraction, bytes: number): void {
  run.nameBytes += bytes;
  if (run.nameBytes > run.limits.nameBytes) throw archiveInvalid("its names are too long");
}

async function makeParents(run: Extraction, components: readonly string[]): Promise<string> {
  let directory = run.request.targetDir;
  const parent = components.join("/");
  // A directory that is known has known parents only, so most entries need one look.
  if (run.kinds.get(parent) === "directory") return path.join(directory, parent);
  for (const [index, component] of components.entries()) {
    directory = path.join(directory, component);
    const name = components.slice(0, index + 1).join("/");
    const known = run.kinds.get(name);
    if (known === "directory") continue;
    if (known !== undefined) {
      throw archiveInvalid(`${JSON.stringify(name)} is a ${known} and also holds other entries`);
    }
    // Parents that have no entry of their own count too: a name must not cost more than one of the limit.
    countName(run, Buffer.byteLength(name));
    run.kinds.set(name, "directory");
    await makeDirectory(run, directory);
  }
  return directory;
}

async function makeDirectory(run: Extraction, directory: string): Promise<void> {
  await exclusively(directory, () => mkdir(directory, { mode: 0o755 }));
  await giveTo(run.request.owner, directory);
}

async function writeFile(
  run: Extraction,
  entry: Entry,
  file: string,
  member: ArchiveMember,
  signal: AbortSignal,
): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  await using handle = await exclusively(file, () => open(file, flags, 0o600));
  let checksum = 0;
  for await (const chunk of await contentsOf(run, entry)) {
    signal.throwIfAborted();
    checksum = crc32(chunk, checksum);
    await handle.writeFile(chunk);
  }
  checkChecksum(entry, checksum);
  const { owner } = run.request;
  if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
  await handle.chmod(member.mode);
  await handle.utimes(member.modifiedAt, member.modifiedAt);
}

async function readTarget(run: Extraction, entry: Entry): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await contentsOf(run, entry)) chunks.push(chunk);
  const target = Buffer.concat(chunks);
  checkChecksum(entry, crc32(target));
  return target.toString("utf8");
}

async function contentsOf(run: Extraction, entry: Entry): Promise<AsyncIterable<Buffer>> {
  return (await run.zip.openReadStreamPromise(entry)) as AsyncIterable<Buffer>;
}

function checkChecksum(entry: Entry, checksum: number): void {
  if (checksum !== entry.crc32) {
    throw archiveInvalid(`entry ${JSON.stringify(entry.fileName.slice(0, 200))} is corrupt`);
  }
}

/** Links, then the modes and times of directories, which making anything in them would change. */
async function finish(run: Extraction): Promise<void> {
  const { targetDir, owner } = run.request;
  for (const { member, target } of run.symlinks) {
    const file = path.join(targetDir, ...member.components);
    await exclusively(file, () => symlink(target, file));
    await giveTo(owner, file);
    await lutimes(file, member.modifiedAt, member.modifiedAt);
  }
  for (const { file, member } of run.directories) {
    await chmod(file, member.mode);
    await lutimes(file, member.modifiedAt, member.modifiedAt);
  }
  await giveTo(owner, targetDir);
}

async function giveTo(owner: Owner | undefined, file: string): Promise<void> {
  if (owner !== undefined) await lchown(file, owner.uid, owner.gid);
}

/** On a file system that folds case or forms, two names of the archive can be one on disk. */
async function exclusively<T>(file: string, create: () => Promise<T>): Promise<T> {
  try {
    return await create();
  } catch (error) {
    if (!hasErrorCode(error, "EEXIST")) throw error;
    throw archiveInvalid(
      `two entries have one name: ${JSON.stringify(path.basename(file))}`,
      error,
    );
  }
}

/** System errors come from our own reading and writing; yauzl's and zlib's are about the archive. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}
