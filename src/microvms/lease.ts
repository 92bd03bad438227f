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
  return new VmmLease(deps, live, vmm, waitedMs);
}

class VmmLease implements TrafficLease {
  readonly vmmId: string;
  readonly address: string;
  readonly signal: AbortSignal;
  readonly waitedMs: number;
  readonly #deps: LeaseDeps;
  readonly #live: LiveMicrovm;
  readonly #vmm: LiveVmm;
  #isHeld = true;

  constructor(deps: LeaseDeps, live: LiveMicrovm, vmm: LiveVmm, waitedMs: number) {
    this.#deps = deps;
    this.#live = live;
    this.#vmm = vmm;
    this.vmmId = vmm.vmmId;
    this.address = vmm.address;
    this.signal = vmm.gone.signal;
    this.waitedMs = waitedMs;
    vmm.leases += 1;
    live.lastActivityAt = deps.clock.now();
  }

  [Symbol.dispose](): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#vmm.leases -= 1;
    this.#live.lastActivityAt = this.#deps.clock.now();
    if (this.#vmm.leases === 0) this.#deps.onQuiet(this.#live.record.microvmId);
  }
}
