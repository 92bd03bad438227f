// A claim on a VMM that runs, and the judgement that comes before it.

import type { ServiceError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { LiveMicrovm, LiveVmm } from "./live.ts";

/** Held for as long as one inbound request, stream or upgraded connection lasts; the microVM is not idle meanwhile. */
export interface TrafficLease extends Disposable {
  readonly vmmId: string;
  /** Slot address; dial it with the wanted guest port. */
  readonly address: string;
  /** Aborts when the VMM behind the address goes away (suspend, terminate, crash): cut the upstream connection. */
  readonly signal: AbortSignal;
  /** Milliseconds the caller waited for a start or a wake-up; 0 when it was running. */
  readonly waitedMs: number;
}

/** Whether a microVM takes traffic as it is at this moment. */
export type Verdict =
  | { readonly is: "open"; readonly live: LiveMicrovm; readonly vmm: LiveVmm }
  | { readonly is: "refused"; readonly error: (microvmId: string) => ServiceError }
  | { readonly is: "asleep" }
  | { readonly is: "coming" };

export interface LeaseDeps {
  readonly clock: Clock;
  /** The last lease of a microVM ended. */
  readonly onQuiet: (microvmId: string) => void;
}

/** A lease on a VMM that is open. */
export function leaseOf(
  deps: LeaseDeps,
  live: LiveMicrovm,
  vmm: LiveVmm,
  waitedMs: number,
): TrafficLease {
  vmm.leases += 1;
  live.lastActivityAt = deps.clock.now();
  let isHeld = true;
  return {
    vmmId: vmm.vmmId,
    address: vmm.address,
    signal: vmm.gone.signal,
    waitedMs,
    [Symbol.dispose]() {
      if (!isHeld) return;
      isHeld = false;
      vmm.leases -= 1;
      live.lastActivityAt = deps.clock.now();
      if (vmm.leases === 0) deps.onQuiet(live.record.microvmId);
    },
  };
}
