// The two disks of a guest as files: the root file system of a built image, and the empty disk of a microVM.
//
// Root: erofs, uncompressed. Of a 670 MB root with 27,000 files, mkfs.erofs made 637 MB in 3.0-3.2 s and mkfs.ext4 -d
// 707 MB in 3.2 s (which also needs its size guessed beforehand); erofs has no journal to replay, nothing to write, and
// the same input gives the same bytes.
//
// Disk: ext4 without a journal. It is only ever mounted by a guest whose memory was saved with it, so there is no crash
// from which a journal would recover: a guest that dies takes its disk with it. It would double metadata writes and put
// its own blocks into every suspended microVM. No resize inode (4 MB of reserved descriptors) and two backup superblocks
// instead of one in every few groups: 136-184 KiB are allocated for 8-32 GiB.

import { chmod, chown, open, rm } from "node:fs/promises";
import { isServiceError, messageOf, ServiceError } from "../errors.ts";
import { runCommand } from "../lib/command.ts";
import { syncFile } from "../lib/files.ts";
import { buildFailure, isDiskFull, saysDiskFull } from "./failure.ts";
import { BUILD_UID_BASE, SANDBOX_TOP } from "./sandbox.ts";
import type { Storage } from "./storage.ts";

export interface PackRequest {
  /** Id of an image in the storage. */
  readonly imageId: string;
  /** Made by this call; must not exist. */
  readonly rootfsPath: string;
  readonly onLog: (line: string) => void;
}

export interface PackResult {
  readonly rootfsBytes: number;
  /** What `buildah inspect --type image` says. */
  readonly inspection: string;
}

/**
 * Writes the image's root file system to `rootfsPath`, synced, readable by all, with owners and extended attributes as in
 * the image. Rejects BUILD_FAILED with INTERNAL_PLATFORM_ERROR or DISK_STORAGE_FULL and removes the file.
 */
export async function packRootfs(
  storage: Storage,
  { imageId, rootfsPath, onLog }: PackRequest,
  signal: AbortSignal,
): Promise<PackResult> {
  try {
    await using handle = await open(rootfsPath, "wx", 0o600);
    await handle.chown(BUILD_UID_BASE, BUILD_UID_BASE);
    const inspection = await storage.run(
      PACK,
      [imageId],
      { binds: { rootfs: rootfsPath } },
      signal,
    );
    await chown(rootfsPath, 0, 0);
    await chmod(rootfsPath, 0o644);
    await handle.datasync();
    const rootfsBytes = (await handle.stat()).size;
    onLog(`root file system: ${(rootfsBytes / 1024 ** 2).toFixed(1)} MiB`);
    return { rootfsBytes, inspection };
  } catch (error) {
    await rm(rootfsPath, { force: true });
    if (signal.aborted) throw error;
    const output = isServiceError(error) ? String(error.details["stderrTail"] ?? "") : "";
    throw buildFailure(
      isDiskFull(error) || saysDiskFull(output) ? "DISK_STORAGE_FULL" : "INTERNAL_PLATFORM_ERROR",
      `Cannot pack the root file system: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

// A fixed identifier and creation time make equal content equal bytes. The time is one that clamps nothing: files keep their
// own, which Python compares with those in its compiled files. buildah makes the root directory of an image anew and
// unwritable, and does not make a WORKDIR that no later instruction needs; `buildah copy` finds that place with the image
// as its root.
const PACK = `set -eu
image=$1
container=$(buildah from --pull-never "$image")
root=$(buildah mount "$container")
chmod u+w "$root"
workdir=$(buildah inspect --type image --format '{{.OCIv1.Config.WorkingDir}}' "$image")
if [ -n "$workdir" ] && [ ! -d "$root/$workdir" ]; then
  mkdir "$TMPDIR/$container"
  buildah copy --quiet "$container" "$TMPDIR/$container" "$workdir" >&2
  rmdir "$TMPDIR/$container"
fi
touch --date=@0 "$root"
SOURCE_DATE_EPOCH=4102444800 mkfs.erofs --quiet -U 746f7270-6f72-4000-8000-000000000000 \\
  ${SANDBOX_TOP}/rootfs "$root" >&2
buildah rm "$container" > /dev/null
buildah inspect --type image "$image"
`;

/** Creates an empty disk of `sizeMiB`, sparse and synced. Rejects STORAGE_FULL or INTERNAL and removes the file. */
export async function createDisk(
  diskPath: string,
  sizeMiB: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    {
      await using handle = await open(diskPath, "wx", 0o600);
      await handle.truncate(sizeMiB * 1024 ** 2);
    }
    await runCommand("mkfs.ext4", [...DISK_OPTIONS, diskPath], {}, signal);
    await syncFile(diskPath);
  } catch (error) {
    await rm(diskPath, { force: true });
    if (signal.aborted) throw error;
    const output = isServiceError(error) ? String(error.details["stderrTail"] ?? "") : "";
    const isFull = isDiskFull(error) || saysDiskFull(output);
    throw new ServiceError(
      isFull ? "STORAGE_FULL" : "INTERNAL",
      `Cannot create disk "${diskPath}": ${messageOf(error)}`,
      { cause: error },
    );
  }
}

// Every feature is named, because the host's own defaults may hold some that the guest's kernel does not know.
const DISK_FEATURES =
  "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super2,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

const DISK_OPTIONS = [
  ...["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0"],
  ...["-L", "torpor-disk", "-O", DISK_FEATURES],
  // The file is all holes: nothing to zero now, and nothing for the guest's kernel to zero later.
  ...["-E", "assume_storage_prezeroed=1,nodiscard"],
];
