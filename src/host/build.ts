// One image build, from artifact to checked snapshot: fetch, unpack and build the container, pack its root file
// system, boot it, wait until the application is ready, snapshot, restore once to prove it, publish.

import { randomBytes, randomUUID } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import type { ArtifactReader } from "../artifacts/artifacts.ts";
import { buildRootfs } from "../builder/build-container.ts";
import { createDisk } from "../builder/rootfs.ts";
import { hasErrorCode, isServiceError, messageOf, ServiceError } from "../errors.ts";
import type { GuestClient } from "../guest/client.ts";
import type { AgentEvent } from "../guest/protocol.ts";
import type { SnapshotSizes } from "../images/records.ts";
import { sizeClassOf } from "../images/size-class.ts";
import { runCommand } from "../lib/command.ts";
import { traced, type Traced } from "../lib/trace.ts";
import type { Assets } from "../setup/assets.ts";
import { openBuildLog, type BuildLog } from "./build-log.ts";
import { bootAndSnapshot } from "./first-boot.ts";
import type { BuildRequest, BuildResult } from "./host.ts";
import {
  imageFiles,
  publishImage,
  writeManifest,
  type ImageFiles,
  type ImageManifest,
} from "./image-files.ts";
import { launchVmm, leaseSlot, type LaunchDeps } from "./launch.ts";
import { pollImageHook } from "./readiness.ts";
import { appEndReason } from "./watch.ts";

export interface BuildDeps extends LaunchDeps {
  readonly artifacts: ArtifactReader;
  readonly locateAssets: () => Promise<Assets>;
  readonly imagesDir: string;
  readonly buildsDir: string;
  readonly logsDir: string;
  readonly containersDir: string;
}

/** Where the log of a version's build is. */
export function buildLogPath(logsDir: string, imageRef: string): string {
  return path.join(logsDir, "images", `${imageRef}.log`);
}

/**
 * Builds a version and publishes its files. On rejection (BUILD_FAILED for what the caller can mend, with
 * `details.reasonCode` where the service has one, and `details.codeInstallSizeInBytes` once the container was built) only
 * the log is left.
 */
export async function runBuild(
  deps: BuildDeps,
  request: BuildRequest,
  signal: AbortSignal,
): Promise<BuildResult> {
  await using log = await openBuildLog(buildLogPath(deps.logsDir, request.imageRef));
  const workDir = path.join(deps.buildsDir, request.buildId);
  try {
    await using _cleanup = {
      [Symbol.asyncDispose]: () => rm(workDir, { recursive: true, force: true }),
    };
    await mkdir(path.join(workDir, "image"), { recursive: true, mode: 0o700 });
    const result = await sayingWhatWasInstalled(workDir, () =>
      buildSteps(deps, request, workDir, log, signal),
    );
    log.line("build successful");
    return result;
  } catch (error) {
    log.line(`build failed: ${messageOf(error)}`);
    throw asBuildError(error, signal);
  }
}

/** A failure after the container was built says how large it is, as the service does. */
async function sayingWhatWasInstalled<T>(workDir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { rootfs } = imageFiles(path.join(workDir, "image"));
    if (!isServiceError(error, "BUILD_FAILED") || !existsSync(rootfs)) throw error;
    const codeInstallSizeInBytes = await allocatedBytes(rootfs);
    throw new ServiceError(error.code, error.message, {
      cause: error,
      details: { ...error.details, codeInstallSizeInBytes },
    });
  }
}

async function buildSteps(
  deps: BuildDeps,
  request: BuildRequest,
  workDir: string,
  log: BuildLog,
  signal: AbortSignal,
): Promise<BuildResult> {
  const { configuration } = request;
  const sizeClass = sizeClassOf(configuration.memoryMiB);
  if (sizeClass === undefined)
    throw new RangeError(`no size class of ${configuration.memoryMiB} MiB`);
  const assets = await deps.locateAssets();
  const image = imageFiles(path.join(workDir, "image"));
  const archivePath = path.join(workDir, "artifact.zip");
  const steps = { ...deps, log };

  log.line(`the artifact is ${configuration.codeArtifactUri}`);
  await step(steps, "fetch the artifact", () => fetchArtifact(deps, request, archivePath, signal));
  // One slot for the container's build and the guest's boot: what RUN may reach is what the application may reach.
  await using acquired = new AsyncDisposableStack();
  const slot = await leaseSlot(deps, request.egress, acquired, signal);
  const container = await step(steps, "build the container", () =>
    buildRootfs(
      { storageDir: deps.containersDir, log: deps.log },
      {
        buildId: request.buildId,
        archivePath,
        workDir,
        rootfsPath: image.rootfs,
        bases: assets.bases,
        environmentVariables: configuration.environmentVariables ?? {},
        networkNamespace: slot.networkNamespace,
        onLog: (line) => log.line(line),
      },
      signal,
    ),
  );
  await step(steps, "make the disk", () => createDisk(image.disk, sizeClass.diskMiB, signal));
  const secret = randomBytes(32).toString("hex");
  const hardware = await step(steps, "boot and snapshot", () =>
    bootAndSnapshot(
      deps,
      { request, slot, image, assets, oci: container.oci, secret, log, sizeClass },
      signal,
    ),
  );
  const manifest: ImageManifest = {
    formatVersion: 1,
    imageRef: request.imageRef,
    hardware,
    agentSecret: secret,
    kernelRelease: assets.kernelRelease,
    createdAt: Date.now(),
  };
  await writeManifest(image, manifest);
  await step(steps, "check that the snapshot restores", () =>
    checkSnapshot(deps, request, image, manifest, workDir, signal),
  );
  const sizes = await measure(image);
  await publishImage(image, deps.imagesDir, request.imageRef);
  return { sizes };
}

/** Runs one step of the build with its start and its time in the log. */
async function step<T>(
  deps: Traced & { readonly log: BuildLog },
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  const { log } = deps;
  const began = performance.now();
  log.line(`${what} …`);
  const result = await traced(deps, what, work);
  log.line(`${what}: done in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return result;
}

async function fetchArtifact(
  deps: BuildDeps,
  { account, configuration }: BuildRequest,
  archivePath: string,
  signal: AbortSignal,
): Promise<void> {
  const source = { account, uri: configuration.codeArtifactUri };
  const artifact = await deps.artifacts.open(source, signal);
  await pipeline(artifact.body, createWriteStream(archivePath, { mode: 0o600 }), { signal });
}

async function checkSnapshot(
  deps: BuildDeps,
  request: BuildRequest,
  image: ImageFiles,
  manifest: ImageManifest,
  workDir: string,
  signal: AbortSignal,
): Promise<void> {
  const diskPath = path.join(workDir, "check-disk");
  await runCommand("cp", ["--sparse=always", image.disk, diskPath], {}, signal);
  await using launched = await launchVmm(
    deps,
    {
      ...{ vmmId: randomUUID(), microvmId: null, imageRef: request.imageRef, image, manifest },
      ...{ egress: request.egress, diskPath, devicesPath: image.devices, memoryDiffPath: null },
    },
    signal,
  );
  const first = await firstEvent(launched.guest, signal);
  if (first.status !== "running") throw new ServiceError("BUILD_FAILED", appEndReason(first));
  const { hooks } = request.configuration;
  if (hooks?.microvmImageHooks?.validate === "ENABLED") {
    await pollImageHook(launched.guest, "validate", hooks, signal);
  }
}

async function firstEvent(guest: GuestClient, signal: AbortSignal): Promise<AgentEvent> {
  for await (const event of guest.events(signal)) return event;
  throw new ServiceError("BUILD_FAILED", "The restored guest did not report its application");
}

async function measure(image: ImageFiles): Promise<SnapshotSizes> {
  const devicesBytes = await allocatedBytes(image.devices);
  return {
    memorySnapshotSizeInBytes: (await allocatedBytes(image.memory)) + devicesBytes,
    codeInstallSizeInBytes: await allocatedBytes(image.rootfs),
    diskSnapshotSizeInBytes: await allocatedBytes(image.disk),
  };
}

/** Bytes on disk, as the service reports them: allocated blocks, not a sparse file's length. */
async function allocatedBytes(file: string): Promise<number> {
  return (await stat(file)).blocks * 512;
}

function asBuildError(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted || isServiceError(error, "BUILD_FAILED")) return error;
  const isFull = hasErrorCode(error, "ENOSPC", "EDQUOT") || isServiceError(error, "STORAGE_FULL");
  const details = isServiceError(error) ? error.details : {};
  return new ServiceError("BUILD_FAILED", messageOf(error), {
    cause: error,
    details: { ...details, reasonCode: isFull ? "DISK_STORAGE_FULL" : "INTERNAL_PLATFORM_ERROR" },
  });
}
