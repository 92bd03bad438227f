// The line between the control plane (api, domain, store) and one host (builder, VMM, network, guest). Arguments and
// results are plain data, because the two may run on different machines.

import type { CpuTarget, ImageConfiguration, SnapshotSizes } from "../images/records.ts";
import type { EgressPolicy } from "../network/slot.ts";

/** `{account}/{region}/{name}/{version}`: where a built version lives under `images/`. */
export type ImageRef = string;

export interface BuildRequest {
  readonly buildId: string;
  /** Whose artifact it is built from. */
  readonly account: string;
  readonly imageRef: ImageRef;
  readonly imageArn: string;
  readonly imageName: string;
  readonly imageVersion: string;
  readonly region: string;
  readonly configuration: ImageConfiguration;
  readonly egress: EgressPolicy;
}

export interface BuildResult {
  readonly sizes: SnapshotSizes;
}

export interface RunRequest {
  readonly microvmId: string;
  readonly vmmId: string;
  readonly imageRef: ImageRef;
  readonly egress: EgressPolicy;
}

export interface ResumeRequest extends RunRequest {}

/** A microVM that answers at `address`. */
export interface RunningVmm {
  readonly microvmId: string;
  readonly vmmId: string;
  /** Slot address; any port reaches the same port of the guest. */
  readonly address: string;
}

/** Where the shells of a running VMM are asked for. */
export interface ShellAccess {
  readonly address: string;
  readonly port: number;
  /** Opens every door of the guest's agent; it is for this process alone. */
  readonly secret: string;
}

export interface SuspendResult {
  readonly dirtyBytes: number;
  readonly bytesWritten: number;
}

export type HookName = "ready" | "validate" | "run" | "resume" | "suspend" | "terminate";

export interface HookCall {
  readonly vmmId: string;
  readonly hook: HookName;
  readonly port: number;
  readonly body: string;
  readonly timeoutMs: number;
}

/** Something that happened to a VMM without being asked for. */
export interface VmmEnded {
  readonly microvmId: string;
  readonly vmmId: string;
  /** In words fit for `stateReason`. */
  readonly reason: string;
}

/** What a host still has after the service was restarted. */
export interface HostInventory {
  /** VMMs that run and were taken over. */
  readonly running: readonly RunningVmm[];
  /** MicroVMs with a complete suspended state on disk. */
  readonly suspended: readonly string[];
}

/** Rejections are ServiceErrors: BUILD_FAILED, VMM_FAILED, GUEST_UNREACHABLE, HOOK_FAILED, NO_CAPACITY, STORAGE_FULL. */
export interface Host extends AsyncDisposable {
  /** What this host builds for. */
  readonly cpuTarget: CpuTarget;
  /** Takes over what an earlier process left running, removes the rest. Once, before any other call. */
  recover(signal: AbortSignal): Promise<HostInventory>;
  /**
   * Builds a version: artifact to checked snapshot. On rejection nothing is left but the log; `details.codeInstallSizeInBytes`
   * says how large the container was, if it came so far.
   */
  build(request: BuildRequest, signal: AbortSignal): Promise<BuildResult>;
  /** Removes a built version's files. Safe to call twice. */
  removeImage(imageRef: ImageRef): Promise<void>;
  /** Starts a VMM for a new microVM from its image's snapshot; the guest has clock and entropy on return. */
  run(request: RunRequest, signal: AbortSignal): Promise<RunningVmm>;
  /**
   * Saves memory and disk, then ends the VMM. On rejection the guest runs on, unless VMM_FAILED says with
   * `details.ended` that it is gone.
   */
  suspend(vmmId: string, signal: AbortSignal): Promise<SuspendResult>;
  /** Starts a VMM from the saved state. Rejections before the guest ran leave that state as it was (`details.ended` false). */
  resume(request: ResumeRequest, signal: AbortSignal): Promise<RunningVmm>;
  /** Calls a lifecycle hook of the app in the guest; resolves on 200, rejects HOOK_FAILED with `details.status` or `details.outcome`. */
  callHook(call: HookCall, signal: AbortSignal): Promise<void>;
  /** How to reach the shells of a running VMM. Rejects VMM_FAILED when it runs no more. */
  shellAccess(vmmId: string): Promise<ShellAccess>;
  /** Ends the VMM, if any, and removes every file of the microVM. Safe to call twice. */
  terminate(microvmId: string): Promise<void>;
  /** Unasked ends of VMMs, in order; ends when the signal aborts. One consumer. */
  ended(signal: AbortSignal): AsyncIterable<VmmEnded>;
}
