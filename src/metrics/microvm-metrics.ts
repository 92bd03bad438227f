// Counts and times of microVMs, told from the records that are written of them: what a caller of the API sees, however
// it came about.

import type { MicrovmRecord } from "../microvms/records.ts";
import type { MicrovmState } from "../microvms/state.ts";
import type { Instruments } from "./metrics.ts";

interface Known {
  readonly state: MicrovmState;
  /** Epoch ms of the move to `state`. */
  readonly since: number;
  /** Epoch ms of the wish to wake a suspended one. */
  readonly wokenAt: number | null;
}

export interface MicrovmMetrics {
  /** A record as it was written. */
  written(record: MicrovmRecord): void;
  /** One that an earlier service wrote: counted, but nothing about it was timed here. */
  found(record: MicrovmRecord): void;
}

/** Watches microVMs. `now` is epoch ms. */
export function createMicrovmMetrics(instruments: Instruments, now: () => number): MicrovmMetrics {
  const known = new Map<string, Known>();

  function count(microvmId: string, before: Known | undefined, after: Known): void {
    if (before !== undefined) instruments.microvms.labels(before.state).dec();
    if (after.state === "TERMINATED") {
      known.delete(microvmId);
    } else {
      known.set(microvmId, after);
      instruments.microvms.labels(after.state).inc();
    }
  }

  return {
    found({ microvmId, state }) {
      if (known.has(microvmId) || state === "TERMINATED") return;
      count(microvmId, undefined, { state, since: now(), wokenAt: null });
    },
    written(record) {
      const { microvmId, state, desired, startedAt } = record;
      const before = known.get(microvmId);
      if (before === undefined && state === "TERMINATED") return;
      const isAsleep = state === "SUSPENDED" || state === "SUSPENDING";
      const isWoken = isAsleep && desired === "RUNNING";
      if (before?.state === state) {
        if (isWoken && before.wokenAt === null) known.set(microvmId, { ...before, wokenAt: now() });
        return;
      }
      const wokenAt = isWoken ? (before?.wokenAt ?? now()) : null;
      if (before !== undefined) observeMove(instruments, before, { state, startedAt, at: now() });
      count(microvmId, before, { state, since: now(), wokenAt });
    },
  };
}

function observeMove(
  instruments: Instruments,
  before: Known,
  after: { readonly state: MicrovmState; readonly startedAt: number; readonly at: number },
): void {
  const move = `${before.state} ${after.state}`;
  instruments.transitions.labels(before.state, after.state).inc();
  const seconds = (from: number) => Math.max(0, after.at - from) / 1000;
  if (move === "PENDING RUNNING") instruments.launchSeconds.observe(seconds(after.startedAt));
  if (move === "SUSPENDING SUSPENDED") instruments.suspendSeconds.observe(seconds(before.since));
  if (move === "SUSPENDED RUNNING" && before.wokenAt !== null)
    instruments.resumeSeconds.observe(seconds(before.wokenAt));
}
