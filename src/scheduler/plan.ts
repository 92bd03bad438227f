// What to do next for one microVM, and when to look again. Pure: the record, what is observed and the time come in.

import type { MicrovmRecord } from "../microvms/records.ts";

export type Step =
  | { readonly do: "run" }
  | { readonly do: "suspend"; readonly why: "idle" | "requested" }
  | { readonly do: "resume" }
  | { readonly do: "terminate"; readonly reason: string };

/** What this process knows beside the record. */
export interface Observed {
  /** Why the VMM that acts for the microVM is gone, or could not be started; null while nothing is wrong. */
  readonly endedReason: string | null;
  /** Whether a VMM runs for it. */
  readonly hasVmm: boolean;
  /** Whether inbound requests are in progress. */
  readonly isBusy: boolean;
  /** Epoch ms. */
  readonly lastActivityAt: number;
}

export const REASON_REQUESTED = "Success.";
export const REASON_EXPIRED = "MicroVM exceeded maximum lifetime.";
export const REASON_SUSPENDED_EXPIRED = "MicroVM exceeded maximum suspended duration.";

/** The steps that are due, in order; empty when the microVM is as it should be. */
export function planSteps(record: MicrovmRecord, observed: Observed, now: number): Step[] {
  const { state, desired } = record;
  if (state === "TERMINATED") return [];
  if (state === "TERMINATING" || desired === "TERMINATED")
    return [{ do: "terminate", reason: record.stateReason ?? REASON_REQUESTED }];
  if (observed.endedReason !== null) return [{ do: "terminate", reason: observed.endedReason }];
  if (now >= expiresAt(record)) return [{ do: "terminate", reason: REASON_EXPIRED }];
  switch (state) {
    case "PENDING":
      return [{ do: "run" }];
    case "RUNNING":
      if (desired === "SUSPENDED") return suspendOrTerminate(record, "requested");
      return now >= idleAt(record, observed) ? suspendOrTerminate(record, "idle") : [];
    case "SUSPENDING":
      return [{ do: "suspend", why: "requested" }];
    case "SUSPENDED":
      // A wake-up that began is finished, whatever is wanted since: the saved state is void once the guest has run.
      if (desired === "RUNNING" || observed.hasVmm) return [{ do: "resume" }];
      if (now < suspendedUntil(record)) return [];
      return [{ do: "terminate", reason: REASON_SUSPENDED_EXPIRED }];
    default:
      return state satisfies never;
  }
}

/** When, in epoch ms, time alone makes a step due; Infinity when it never does. For a microVM with no step due. */
export function nextDeadline(record: MicrovmRecord, observed: Observed): number {
  switch (record.state) {
    case "TERMINATED":
      return Infinity;
    case "RUNNING":
      return Math.min(expiresAt(record), idleAt(record, observed));
    case "SUSPENDED":
      return Math.min(expiresAt(record), suspendedUntil(record));
    default:
      return expiresAt(record);
  }
}

/** A policy that keeps suspended microVMs for no time at all ends them instead. */
function suspendOrTerminate(record: MicrovmRecord, why: "idle" | "requested"): Step[] {
  return record.idlePolicy?.suspendedDurationSeconds === 0
    ? [{ do: "terminate", reason: REASON_SUSPENDED_EXPIRED }]
    : [{ do: "suspend", why }];
}

/** The lifetime runs from the start, whether the microVM runs or is suspended. */
function expiresAt({ startedAt, maximumDurationInSeconds }: MicrovmRecord): number {
  return startedAt + maximumDurationInSeconds * 1000;
}

function idleAt({ idlePolicy }: MicrovmRecord, { isBusy, lastActivityAt }: Observed): number {
  if (idlePolicy === null || isBusy) return Infinity;
  return lastActivityAt + idlePolicy.maxIdleDurationSeconds * 1000;
}

function suspendedUntil({ idlePolicy, suspendedAt }: MicrovmRecord): number {
  if (idlePolicy === null || suspendedAt === null) return Infinity;
  return suspendedAt + idlePolicy.suspendedDurationSeconds * 1000;
}
