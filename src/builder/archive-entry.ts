// What one entry of a code archive becomes on disk, or why it is refused. Pure: reading and writing is archive.ts's.

import { validateFileName, type Entry } from "yauzl";
import { buildFailure } from "./failure.ts";

/** Bounds of an archive. Each is far above any real application and far below what would harm the host. */
export interface ArchiveLimits {
  readonly entries: number;
  /** All file contents together, decompressed. */
  readonly totalBytes: number;
  /** All names together; they are held in memory to find duplicates. */
  readonly nameBytes: number;
  /** Decompressed to compressed size of one entry, when it is larger than `ratioFreeBytes`. */
  readonly entryRatio: number;
  /** The same of the whole archive. Deflate itself ends near 1030. */
  readonly totalRatio: number;
  /** Contents up to this size may have any ratio: small files of zeros are common and harmless. */
  readonly ratioFreeBytes: number;
}

export const ARCHIVE_LIMITS: ArchiveLimits = {
  entries: 100_000,
  totalBytes: 4 * 1024 ** 3,
  nameBytes: 16 * 1024 ** 2,
  entryRatio: 500,
  totalRatio: 100,
  ratioFreeBytes: 64 * 1024 ** 2,
};

export interface ArchiveMember {
  readonly kind: "file" | "directory" | "symlink";
  /** Components below the target directory; never empty, never "." or "..". */
  readonly components: readonly string[];
  /** Permission bits only: no set-id, no sticky. */
  readonly mode: number;
  readonly modifiedAt: Date;
}

const SYMLINK_TARGET_LIMIT = 4096;
const PATH_LIMIT = 4096;
const COMPONENT_LIMIT = 255;
/** Every component may be a directory to make; no real tree comes near. */
const DEPTH_LIMIT = 100;
const TYPE_MASK = 0o170000;
const MADE_BY_UNIX = [3, 19];
const FILE_KINDS: ReadonlyMap<number, ArchiveMember["kind"]> = new Map([
  [0o100000, "file"],
  [0o040000, "directory"],
  [0o120000, "symlink"],
]);

/** The error for anything wrong with an archive. */
export function archiveInvalid(why: string, cause?: unknown): Error {
  return buildFailure("ARCHIVE_INVALID", `The code artifact is not a usable zip archive: ${why}`, {
    cause,
  });
}

/** Decides what an entry becomes. Rejects BUILD_FAILED (ARCHIVE_INVALID) for one that has no place in a build context. */
export function readMember(entry: Entry): ArchiveMember | undefined {
  const shown = JSON.stringify(entry.fileName.slice(0, 200));
  const components = componentsOf(entry.fileName, shown);
  if (entry.isEncrypted()) throw archiveInvalid(`entry ${shown} is encrypted`);
  if (!entry.canDecodeFileData()) {
    throw archiveInvalid(`entry ${shown} uses compression method ${entry.compressionMethod}`);
  }
  const { kind, mode } = attributesOf(entry, shown);
  if (kind === "symlink" && entry.uncompressedSize > SYMLINK_TARGET_LIMIT) {
    throw archiveInvalid(`the target of symbolic link ${shown} is too long`);
  }
  if (components.length === 0) {
    // "./" stands for the context itself, which exists.
    if (kind === "directory") return undefined;
    throw archiveInvalid(`entry ${shown} has no name`);
  }
  return { kind, components, mode, modifiedAt: modificationTime(entry) };
}

/**
 * Checks that a link stays inside the target directory wherever it is followed: relative, and ".." only at its start and
 * no deeper than the link itself lies. Links are made of real directories alone, so any chain of such links stays inside too.
 */
export function checkSymlinkTarget(member: ArchiveMember, target: string): void {
  const shown = JSON.stringify(member.components.join("/"));
  const parts = target.split("/").filter((part) => part !== "" && part !== ".");
  const firstName = parts.findIndex((part) => part !== "..");
  const climbs = firstName === -1 ? parts.length : firstName;
  const climbsLater = parts.slice(climbs).includes("..");
  const isInside =
    target !== "" &&
    !target.startsWith("/") &&
    !target.includes("\0") &&
    !climbsLater &&
    climbs < member.components.length;
  if (!isInside) throw archiveInvalid(`symbolic link ${shown} leads out of the archive`);
}

function componentsOf(name: string, shown: string): string[] {
  // yauzl has replaced nothing (strict names) and refused backslashes, drive letters and absolute paths already;
  // repeated here so that safety does not hang on its options.
  const problem = validateFileName(name);
  if (problem !== null) throw archiveInvalid(`entry ${shown} has a bad name: ${problem}`);
  if (name.includes("\0") || name.includes("\\") || /^[A-Za-z]:/.test(name)) {
    throw archiveInvalid(`entry ${shown} has a bad name`);
  }
  const components = name.split("/").filter((part) => part !== "" && part !== ".");
  if (components.includes("..")) throw archiveInvalid(`entry ${shown} leads out of the archive`);
  const isTooLong =
    Buffer.byteLength(name) > PATH_LIMIT ||
    components.length > DEPTH_LIMIT ||
    components.some((part) => Buffer.byteLength(part) > COMPONENT_LIMIT);
  if (isTooLong) throw archiveInvalid(`entry ${shown} has too long a name`);
  return components;
}

function attributesOf(entry: Entry, shown: string): Pick<ArchiveMember, "kind" | "mode"> {
  const endsAsDirectory = entry.fileName.endsWith("/");
  const unixMode = MADE_BY_UNIX.includes(entry.versionMadeBy >>> 8)
    ? entry.externalFileAttributes >>> 16
    : 0;
  const type = unixMode & TYPE_MASK;
  const kind = type === 0 ? (endsAsDirectory ? "directory" : "file") : FILE_KINDS.get(type);
  if (kind === undefined) {
    throw archiveInvalid(`entry ${shown} is neither a file, a directory nor a symbolic link`);
  }
  if (endsAsDirectory !== (kind === "directory")) {
    throw archiveInvalid(`entry ${shown} is a ${kind} by its mode but not by its name`);
  }
  // Tools that know no Unix modes write none; a file that nobody may read is never meant.
  const permissions = unixMode & 0o777;
  return { kind, mode: permissions !== 0 ? permissions : kind === "directory" ? 0o755 : 0o644 };
}

function modificationTime(entry: Entry): Date {
  // UTC keeps the layer cache independent of the host's time zone.
  const time = entry.getLastModDate({ timezone: "UTC" });
  return Number.isNaN(time.getTime()) ? new Date(0) : time;
}
