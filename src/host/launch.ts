// Starting one VMM from a snapshot, for a new microVM, a suspended one or the check of a fresh image: the same steps,
// in the order that keeps a crash at any point repairable.

import { randomBytes } from "node:crypto";
import { messageOf, ServiceError } from "../errors.ts";
import type { GuestClient } from "../guest/client.ts";
import type { Log } from "../lib/log.ts";
import { traced, type Traced } from "../lib/trace.ts";
import type { EgressPolicy, Slot, SlotPool } from "../network/slot.ts";
import type { RestoreSpec, VmDriver, Vmm } from "../vmm/driver.ts";
import type { ImageRef } from "./host.ts";
import { type ImageFiles, type ImageManifest } from "./image-files.ts";
import {
  markLaunched,
  removeVmmRecord,
  type VmmRecord,
  vmmRunDir,
  writeVmmRecord,
} from "./vmm-records.ts";

export interface LaunchDeps extends Traced {
  readonly driver: VmDriver;
  readonly slots: SlotPool;
  readonly connectGuest: (options: { address: string; secret: string }) => GuestClient;
  /** Where VMM records and sockets live, on tmpfs. */
  readonly vmmsDir: string;
  readonly log: Log;
}

export interface LaunchRequest {
  readonly vmmId: string;
  /** Null for a build. */
  readonly microvmId: string | null;
  readonly imageRef: ImageRef;
  readonly image: ImageFiles;
  readonly manifest: ImageManifest;
  readonly egress: EgressPolicy;
  readonly diskPath: string;
  readonly devicesPath: string;
  readonly memoryDiffPath: string | null;
  /** Runs when everything is loaded, right before the guest does. */
  readonly beforeGuestRuns?: () => Promise<void>;
}

/** A running VMM with all that belongs to it. Disposing it ends the VMM and gives everything back. */
export interface LaunchedVmm extends AsyncDisposable {
  readonly vmm: Vmm;
  readonly slot: Slot;
  readonly guest: GuestClient;
  /** What the guest's agent asks of its callers. */
  readonly agentSecret: string;
}

/** 64 bytes of fresh randomness and the time, as every guest gets them when it starts to exist. */
export function freshIdentity(): { clock: { epochMs: number }; entropy: string } {
  return { clock: { epochMs: Date.now() }, entropy: randomBytes(64).toString("base64") };
}

/**
 * Restores a snapshot in a slot of its own and lets it run. On return the guest has the time and fresh entropy and
 * its old connections are gone. On rejection everything acquired is released; `details.guestRan` says whether the guest
 * may have run.
 */
export async function launchVmm(
  deps: LaunchDeps,
  request: LaunchRequest,
  signal: AbortSignal,
): Promise<LaunchedVmm> {
  let guestRan = false;
  try {
    await using acquired = new AsyncDisposableStack();
    const slot = await leaseSlot(deps, request.egress, acquired, signal);
    const record = recordOf(request, slot);
    await recordVmm(deps, record, acquired);
    const vmm = acquired.use(
      await traced(deps, "restore vmm", () =>
        deps.driver.restore(restoreSpec(deps, request, slot), signal),
      ),
    );
    await request.beforeGuestRuns?.();
    const guest = acquired.use(
      deps.connectGuest({ address: slot.address, secret: request.manifest.agentSecret }),
    );
    guestRan = true;
    await vmm.resume(signal);
    await traced(deps, "greet agent", () => guest.restored(freshIdentity(), signal));
    await markLaunched(deps.vmmsDir, record);
    const { agentSecret } = request.manifest;
    return assemble({ vmm, slot, guest, agentSecret }, acquired.move());
  } catch (error) {
    throw withGuestRan(error, guestRan);
  }
}

/** Leases a slot and registers its return. */
export async function leaseSlot(
  deps: LaunchDeps,
  egress: EgressPolicy,
  acquired: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<Slot> {
  const slot = await traced(deps, "lease slot", () => deps.slots.lease(egress, signal));
  acquired.defer(() => deps.slots.release(slot));
  return slot;
}

/** Writes a VMM's record and registers its removal. */
export async function recordVmm(
  deps: LaunchDeps,
  record: VmmRecord,
  acquired: AsyncDisposableStack,
): Promise<void> {
  acquired.defer(() => removeVmmRecord(deps.vmmsDir, record.vmmId));
  await writeVmmRecord(deps.vmmsDir, record);
}

/** Ties the parts of a running VMM together. */
export function assemble(
  parts: Omit<LaunchedVmm, typeof Symbol.asyncDispose>,
  resources: AsyncDisposableStack,
): LaunchedVmm {
  return { ...parts, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

function restoreSpec({ vmmsDir }: LaunchDeps, request: LaunchRequest, slot: Slot): RestoreSpec {
  const { vmmId, image, manifest, diskPath, devicesPath, memoryDiffPath } = request;
  return {
    ...{ vmmId, runDir: vmmRunDir(vmmsDir, vmmId), placement: slot },
    ...{ rootfsPath: image.rootfs, memoryPath: image.memory, hardware: manifest.hardware },
    ...{ diskPath, devicesPath, memoryDiffPath },
  };
}

function recordOf(request: LaunchRequest, slot: Slot): VmmRecord {
  return {
    phase: "launching",
    vmmId: request.vmmId,
    microvmId: request.microvmId,
    imageRef: request.imageRef,
    slotIndex: slot.index,
    memoryPath: request.image.memory,
    hardware: request.manifest.hardware,
  };
}

function withGuestRan(error: unknown, guestRan: boolean): ServiceError {
  const known = error instanceof ServiceError;
  return new ServiceError(known ? error.code : "VMM_FAILED", messageOf(error), {
    cause: error,
    details: { ...(known ? error.details : {}), guestRan },
  });
}
