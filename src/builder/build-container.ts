// The part of an image build that needs no virtual machine: code archive in, root file system and start-up configuration out.

import { rm } from "node:fs/promises";
import path from "node:path";
import { isServiceError, messageOf } from "../errors.ts";
import { extractArchive } from "./archive.ts";
import { importBases, type BaseImage } from "./base-image.ts";
import { buildDockerfile } from "./dockerfile.ts";
import { buildFailure, isDiskFull } from "./failure.ts";
import { readOciConfig, type OciConfig } from "./oci-config.ts";
import { packRootfs } from "./rootfs.ts";
import { BUILD_UID_BASE } from "./sandbox.ts";
import { openStorage, type StorageDeps } from "./storage.ts";

export type { BaseImage } from "./base-image.ts";
export type { OciConfig } from "./oci-config.ts";

export interface BuildRootfsRequest {
  readonly buildId: string;
  /** The zip. */
  readonly archivePath: string;
  /** Existing directory of this build alone, on the same machine's disk; `context/` and `result/` are made in it and removed. */
  readonly workDir: string;
  /** Where the root file system goes; must not exist. */
  readonly rootfsPath: string;
  /** Managed bases that FROM may name. */
  readonly bases: readonly BaseImage[];
  /** Sensitive: never logged. Build arguments here; the caller also gives them to the application. */
  readonly environmentVariables: Readonly<Record<string, string>>;
  /** Name under `/run/netns` whose egress rules the build is under; the host's own network, loopback included, unless given. */
  readonly networkNamespace?: string;
  /** Called with every line of the build's log as it comes. */
  readonly onLog: (line: string) => void;
}

export interface BuiltRootfs {
  readonly oci: OciConfig;
  readonly rootfsPath: string;
  readonly rootfsBytes: number;
}

/**
 * Extracts the archive, builds its Dockerfile and writes the root file system to `rootfsPath`. Rejects BUILD_FAILED with
 * `details.reasonCode`; then nothing is left but cached layers. On abort every process of the build is gone on return.
 */
export async function buildRootfs(
  deps: StorageDeps,
  request: BuildRootfsRequest,
  signal: AbortSignal,
): Promise<BuiltRootfs> {
  try {
    return await build(deps, request, signal);
  } catch (error) {
    if (signal.aborted || isServiceError(error, "BUILD_FAILED")) throw error;
    const reason = isDiskFull(error) ? "DISK_STORAGE_FULL" : "INTERNAL_PLATFORM_ERROR";
    throw buildFailure(reason, `Cannot build the container image: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function build(
  deps: StorageDeps,
  request: BuildRootfsRequest,
  signal: AbortSignal,
): Promise<BuiltRootfs> {
  const { workDir, rootfsPath, networkNamespace, onLog } = request;
  const contextDir = path.join(workDir, "context");
  const resultDir = path.join(workDir, "result");
  await using acquired = new AsyncDisposableStack();
  acquired.defer(() => removeAll([contextDir, resultDir]));
  const owner = { uid: BUILD_UID_BASE, gid: BUILD_UID_BASE };
  const { archivePath, bases, environmentVariables } = request;
  const { entries, bytes } = await extractArchive(
    { archivePath, targetDir: contextDir, owner },
    signal,
  );
  onLog(`code artifact: ${entries} entries, ${bytes} bytes`);
  const storage = acquired.use(await openStorage(deps, signal));
  await importBases(storage, bases, onLog, signal);
  const imageId = await buildDockerfile(
    storage,
    {
      ...{ contextDir, resultDir, environmentVariables, onLog },
      ...(networkNamespace === undefined ? {} : { networkNamespace }),
    },
    signal,
  );
  const packed = await packRootfs(storage, { imageId, rootfsPath, onLog }, signal);
  try {
    const oci = readOciConfig(packed.inspection, process.arch, onLog);
    return { oci, rootfsPath, rootfsBytes: packed.rootfsBytes };
  } catch (error) {
    await rm(rootfsPath, { force: true });
    throw error;
  }
}

async function removeAll(directories: readonly string[]): Promise<void> {
  for (const directory of directories) await rm(directory, { recursive: true, force: true });
}
