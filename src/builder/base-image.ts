// Puts the managed bases (OCI image layouts that set-up made) into container storage under the names Dockerfiles use for
// them, so that no registry is asked.

import { isServiceError, messageOf } from "../errors.ts";
import { buildFailure, saysDiskFull } from "./failure.ts";
import { SIGNATURE_POLICY, type Storage } from "./storage.ts";

export interface BaseImage {
  /** For example `debian-12`. */
  readonly name: string;
  /** What a Dockerfile may call it in FROM, for example `debian:bookworm-slim`. */
  readonly names: readonly string[];
  /** Directory with an OCI image layout of one image. */
  readonly path: string;
  /** Of that image; one with a new digest takes over the names. */
  readonly digest: string;
}

/** Imports what is not there yet. Rejects BUILD_FAILED with INTERNAL_PLATFORM_ERROR or DISK_STORAGE_FULL. */
export async function importBases(
  storage: Storage,
  bases: readonly BaseImage[],
  onLog: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  for (const base of bases) {
    const reference = `localhost/torpor-base:${base.digest.replace(/[^A-Za-z0-9]/g, "-").slice(0, 100)}`;
    const aliases = [...new Set([base.name, ...base.names].map(storageReference))];
    try {
      const found = await storage.run(TAG, [reference, ...aliases], { binds: {} }, signal);
      if (found.trim() === "tagged") continue;
      onLog(`importing base image "${base.name}"`);
      const options = { binds: {}, inputPath: base.path };
      await storage.run(IMPORT, [reference, ...aliases], options, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const tail = isServiceError(error) ? String(error.details["stderrTail"] ?? "") : "";
      throw buildFailure(
        saysDiskFull(tail) ? "DISK_STORAGE_FULL" : "INTERNAL_PLATFORM_ERROR",
        `Cannot import base image "${base.name}": ${messageOf(error)}`,
        { cause: error },
      );
    }
  }
}

/** The full name under which buildah looks for what a Dockerfile calls `name`. */
export function storageReference(name: string): string {
  const [first = "", ...rest] = name.split("/");
  const hasRegistry = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const full = hasRegistry
    ? name.replace(/^docker\.io\/([^/]+)$/, "docker.io/library/$1")
    : `docker.io/${rest.length > 0 ? "" : "library/"}${name}`;
  return /:[^/]+$/.test(full) ? full : `${full}:latest`;
}

const TAG = `set -eu
reference=$1
shift
if buildah inspect --type image "$reference" > /dev/null 2>&1; then
  buildah tag "$reference" "$@"
  echo tagged
fi
`;

const IMPORT = `set -eu
reference=$1
shift
# TMPDIR is shared by all builds, whose process ids are the same in their own namespaces. buildah makes a name for the image
# of the path, which must not have capitals.
layout=$TMPDIR/base-$(cat /proc/sys/kernel/random/uuid)
mkdir "$layout"
tar --extract --no-same-owner --file - --directory "$layout"
id=$(buildah pull --quiet ${SIGNATURE_POLICY} "oci:$layout")
rm -r "$layout"
buildah tag "$id" "$reference" "$@"
`;
