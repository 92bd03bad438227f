// What every step needs: the adapters, and the few moves that all steps make in the same way.

import { isServiceError, messageOf, ServiceError } from "../errors.ts";
import type { Host, RunRequest } from "../host/host.ts";
import { imageRefOf } from "../images/image-ref.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { Traced } from "../lib/trace.ts";
import { egressPolicyOf } from "../microvms/connectors.ts";
import { type HookSettings, hookSettings, type RuntimeHook } from "../microvms/hooks.ts";
import { newVmmId } from "../microvms/ids.ts";
import type { LiveMicrovm, LiveVmm } from "../microvms/live.ts";
import type { TrafficGate } from "../microvms/traffic.ts";
import type { ImageStore, MicrovmStore } from "../store/store.ts";
import type { Permits } from "./permits.ts";

export interface StepDeps extends Traced {
  readonly host: Pick<Host, "run" | "suspend" | "resume" | "callHook" | "terminate">;
  readonly microvms: MicrovmStore;
  readonly images: Pick<ImageStore, "getVersion">;
  readonly traffic: Pick<TrafficGate, "changed" | "failed">;
  readonly clock: Clock;
  readonly log: Log;
  /** VMMs that may be started, saved, ended at once. */
  readonly permits: {
    readonly launch: Permits;
    readonly suspend: Permits;
    readonly terminate: Permits;
  };
}

/** For a failure whose text is not fit for the microVM's user. */
const UNKNOWN_REASON = "The MicroVM ended because of an internal error.";

/**
 * The id for the next VMM of this microVM, stored before the VMM exists. A launch never uses the id of an earlier one, so
 * that whatever is left of that can be told from it.
 */
export async function mintVmmId(deps: StepDeps, live: LiveMicrovm): Promise<string> {
  let { vmmId } = live.record;
  if (vmmId === null || vmmId === live.launchedVmmId) {
    const before = vmmId;
    const after = newVmmId();
    await deps.microvms.amend(live.record.microvmId, (record) => {
      if (record.vmmId === before) return { vmmId: after };
      const message = `Cannot launch microvm "${record.microvmId}": another vmm acts for it`;
      throw new ServiceError("CONFLICT", message);
    });
    vmmId = after;
  }
  live.launchedVmmId = vmmId;
  return vmmId;
}

/** What the host must know to start this microVM. */
export function runRequestOf({ record }: LiveMicrovm, vmmId: string): RunRequest {
  const { microvmId, imageName, imageVersion, region, egressNetworkConnectors } = record;
  return {
    microvmId,
    vmmId,
    imageRef: imageRefOf(record, imageName, imageVersion),
    egress: egressPolicyOf(region, egressNetworkConnectors),
  };
}

/** How the microVM's image wants this hook called; undefined when it does not. */
export async function hookOf(
  deps: StepDeps,
  { record }: LiveMicrovm,
  hook: RuntimeHook,
): Promise<HookSettings | undefined> {
  const version = await deps.images.getVersion(record, record.imageName, record.imageVersion);
  return hookSettings(version?.configuration.hooks ?? null, hook);
}

/** Calls a hook; gives up when the VMM is gone or the signal aborts. */
export async function callHook(
  deps: StepDeps,
  vmm: LiveVmm,
  call: { readonly hook: RuntimeHook; readonly body: string } & HookSettings,
  signal: AbortSignal,
): Promise<void> {
  const untilGone = AbortSignal.any([signal, vmm.gone.signal]);
  await deps.host.callHook({ vmmId: vmm.vmmId, ...call }, untilGone);
}

/** Notes that the microVM cannot go on; the next plan terminates it for this reason. The first cause stands. */
export function giveUp(live: LiveMicrovm, reason: string): void {
  const { vmmId } = live.record;
  if (live.ended?.vmmId !== vmmId) live.ended = { vmmId, reason };
}

/** Whether the VMM that acts for the microVM is known to be gone. */
export function hasEnded({ ended, record }: LiveMicrovm): boolean {
  return ended !== null && ended.vmmId === record.vmmId;
}

/** A failure of the host in words fit for `stateReason`. */
export function reasonOf(error: unknown): string {
  return isServiceError(error) ? messageOf(error) : UNKNOWN_REASON;
}

/** Whether a failed suspend or resume took the VMM, or the saved state, with it. */
export function tookAllWithIt(error: unknown): boolean {
  return isServiceError(error) && error.details["ended"] === true;
}
