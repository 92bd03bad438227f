// What the ingress may ask: which microVM a request is for, and a lease on its address while bytes flow.

import type { MicrovmRecord } from "./records.ts";

/** Held for as long as one inbound request, stream or upgraded connection lasts; the microVM is not idle meanwhile. */
export interface TrafficLease extends Disposable {
  /** Slot address; dial it with the wanted guest port. */
  readonly address: string;
  /** Aborts when the VMM behind the address goes away (suspend, terminate, crash): cut the upstream connection. */
  readonly signal: AbortSignal;
  /** Milliseconds the caller waited for a start or a wake-up; 0 when it was running. */
  readonly waitedMs: number;
}

export interface Traffic {
  findByEndpoint(endpointId: string): Promise<MicrovmRecord | undefined>;
  findById(microvmId: string): Promise<MicrovmRecord | undefined>;
  /**
   * Waits until the microVM runs, waking it when its policy allows, at most `TRAFFIC_WAIT_MS`. One wake-up however many wait.
   * Rejects NOT_FOUND (terminated), CONFLICT (suspended, no auto-resume), VMM_FAILED (wake-up failed), NO_CAPACITY (too many wait).
   */
  open(microvmId: string, signal: AbortSignal): Promise<TrafficLease>;
}
