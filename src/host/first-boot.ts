// The first boot of a fresh image: start the container in a new VM, wait until the application is ready, and save
// memory, disk and devices. A failure is worded for the owner of the image.

import { randomUUID } from "node:crypto";
import type { OciConfig } from "../builder/build-container.ts";
import { isServiceError, ServiceError } from "../errors.ts";
import type { GuestClient } from "../guest/client.ts";
import type { ContainerSpec } from "../guest/protocol.ts";
import { runCommand } from "../lib/command.ts";
import { syncFile } from "../lib/files.ts";
import { GUEST_NETWORK, type Slot } from "../network/slot.ts";
import type { Assets } from "../setup/assets.ts";
import type { VmHardware, Vmm } from "../vmm/driver.ts";
import type { BuildLog } from "./build-log.ts";
import type { BuildRequest } from "./host.ts";
import type { ImageFiles } from "./image-files.ts";
import { freshIdentity, recordVmm, type LaunchDeps } from "./launch.ts";
import { waitUntilReady } from "./readiness.ts";
import { vmmRunDir } from "./vmm-records.ts";
import { appEndReason } from "./watch.ts";

/** From the start of the kernel to the agent's first answer: measured 3–6 s under emulation, 64 s when that is nested. */
const BOOT_TIMEOUT_MS = 180_000;

export interface FirstBootRequest {
  readonly request: BuildRequest;
  readonly slot: Slot;
  readonly image: ImageFiles;
  readonly assets: Assets;
  readonly oci: OciConfig;
  readonly secret: string;
  readonly log: BuildLog;
  readonly sizeClass: { readonly peakMiB: number; readonly vcpus: number };
}

/** Boots the image in `boot.slot` and leaves `memory`, `devices` and `disk` complete and synced. Rejects BUILD_FAILED. */
export async function bootAndSnapshot(
  deps: LaunchDeps,
  boot: FirstBootRequest,
  signal: AbortSignal,
): Promise<VmHardware> {
  const { request, slot, image, assets, oci, secret, log, sizeClass } = boot;
  const vmmId = randomUUID();
  await using acquired = new AsyncDisposableStack();
  await recordVmm(
    deps,
    {
      ...{ vmmId, microvmId: null, imageRef: request.imageRef, slotIndex: slot.index },
      ...{ memoryPath: image.memory, hardware: null, phase: "launching" },
    },
    acquired,
  );
  const vmm = acquired.use(
    await deps.driver.boot(
      {
        ...{ vmmId, runDir: vmmRunDir(deps.vmmsDir, vmmId), placement: slot },
        ...{ rootfsPath: image.rootfs, diskPath: image.disk, memoryPath: image.memory },
        ...{ kernelPath: assets.kernelPath, initramfsPath: assets.initramfsPath },
        ...{ memoryMiB: sizeClass.peakMiB, vcpus: sizeClass.vcpus, kernelArguments: [] },
      },
      signal,
    ),
  );
  const guest = acquired.use(deps.connectGuest({ address: slot.address, secret }));
  await startContainer(guest, vmm, { request, oci, secret }, signal);
  log.line("the application was started");
  await untilReadyOrEnded(guest, vmm, boot, signal);
  await guest.quiesce(signal);
  await vmm.pause(signal);
  await vmm.saveDevices(image.devices, signal);
  await vmm[Symbol.asyncDispose]();
  // Boot touched and zeroed memory that holds nothing: as holes it costs neither disk nor page cache.
  await runCommand("fallocate", ["--dig-holes", image.memory], {}, signal);
  for (const file of [image.memory, image.disk, image.rootfs]) await syncFile(file);
  return vmm.hardware;
}

async function startContainer(
  guest: GuestClient,
  vmm: Vmm,
  what: { request: BuildRequest; oci: OciConfig; secret: string },
  signal: AbortSignal,
): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(BOOT_TIMEOUT_MS)]);
  const started = guest.start(
    {
      secret: what.secret,
      container: containerSpec(what.request, what.oci),
      ...freshIdentity(),
    },
    limit,
  );
  const ended = vmm.exited.then((exit): never => {
    throw new ServiceError(
      "BUILD_FAILED",
      `The guest ended before its agent answered: ${exit.stderrTail || exit.consoleTail || "it printed nothing"}`,
    );
  });
  ended.catch(() => undefined);
  started.catch(() => undefined);
  await Promise.race([started, ended]);
}

/** The container's environment is the image's own, the service's variables, then the configured ones. */
function containerSpec(request: BuildRequest, oci: OciConfig): ContainerSpec {
  const configured = Object.entries(request.configuration.environmentVariables ?? {});
  return {
    args: oci.args,
    env: [
      ...oci.env,
      `AWS_LAMBDA_MICROVM_IMAGE_ARN=${request.imageArn}`,
      `AWS_LAMBDA_MICROVM_IMAGE_NAME=${request.imageName}`,
      `AWS_LAMBDA_MICROVM_IMAGE_VERSION=${request.imageVersion}`,
      `AWS_REGION=${request.region}`,
      ...configured.map(([name, value]) => `${name}=${value}`),
    ],
    workingDir: oci.workingDir,
    user: oci.user,
    hostname: "localhost",
    nameservers: [GUEST_NETWORK.gatewayAddress],
    allCapabilities: request.configuration.additionalOsCapabilities?.includes("ALL") ?? false,
  };
}

/** Waits for readiness, copying the application's output into the log; fails at once when the application ends. */
async function untilReadyOrEnded(
  guest: GuestClient,
  vmm: Vmm,
  boot: FirstBootRequest,
  signal: AbortSignal,
): Promise<void> {
  const done = new AbortController();
  const limit = AbortSignal.any([signal, done.signal]);
  const ended = firstEnd(guest, vmm, limit).then((reason): never => {
    throw new ServiceError("BUILD_FAILED", reason);
  });
  const ready = waitUntilReady(
    guest,
    {
      hooks: boot.request.configuration.hooks,
      exposedPorts: boot.oci.exposedPorts,
      vmmPid: vmm.pid,
      onLog: (line) => boot.log.line(line),
    },
    limit,
  );
  ended.catch(() => undefined);
  ready.catch(() => undefined);
  try {
    await Promise.race([ready, ended]);
  } finally {
    done.abort();
    await copyOutput(guest, boot.log, signal);
  }
}

async function firstEnd(guest: GuestClient, vmm: Vmm, signal: AbortSignal): Promise<string> {
  const exited = vmm.exited.then(
    (exit) => `The guest ended: ${exit.stderrTail || exit.consoleTail || "it powered off"}`,
  );
  const reported = (async () => {
    for await (const event of guest.events(signal)) {
      if (event.status !== "running") return appEndReason(event);
    }
    // The stream also ends with the guest; the exit of the VMM says more.
    return exited;
  })();
  return Promise.race([reported, exited.then((reason) => settleAfter(reported, reason))]);
}

/** The application's own reason when it is known by now, else the VMM's. */
async function settleAfter(reported: Promise<string>, reason: string): Promise<string> {
  return Promise.race([reported.catch(() => reason), Promise.resolve(reason)]);
}

async function copyOutput(guest: GuestClient, log: BuildLog, signal: AbortSignal): Promise<void> {
  try {
    const output = await guest.logs(0, signal);
    for (const line of output.text.split("\n")) if (line !== "") log.line(`app: ${line}`);
  } catch (error) {
    if (signal.aborted || !isServiceError(error)) throw error;
    log.line("the application's output could not be read: the guest is gone");
  }
}
