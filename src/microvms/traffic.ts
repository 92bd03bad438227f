// What the ingress may ask: which microVM a request is for, and a lease on its address while bytes flow. Requests for a
// microVM that does not run yet, or not any more, wait here for it.
//
// INVARIANTS
// - A lease is given only while the record says RUNNING and its VMM is open, decided without yielding.
// - A microVM whose VMM has leases is not idle; the scheduler is told when the last one ends.
// - Whatever changes a microVM is followed by `changed`, which answers every waiter that can be answered.
// - At most one wake-up of a microVM is in progress, and waiters are bounded.

import { messageOf, ServiceError } from "../errors.ts";
import type { Known } from "../lib/known.ts";
import type { MicrovmStore } from "../store/store.ts";
import type { LiveMicrovm, LiveMicrovms } from "./live.ts";
import { type LeaseDeps, leaseOf, type TrafficLease, type Verdict } from "./lease.ts";
import { createPatience } from "./patience.ts";
import type { MicrovmRecord } from "./records.ts";

/** Who was turned away because it took too long or too many waited may come again after this. */
const RETRY_AFTER_SECONDS = 2;
/** Requests that may wait for one microVM, and for all of them. */
export const MAX_WAITERS_PER_MICROVM = 256;
export const MAX_WAITERS = 4096;

export interface Traffic {
  findByEndpoint(endpointId: string): Promise<MicrovmRecord | undefined>;
  findById(microvmId: string): Known<MicrovmRecord | undefined>;
  /**
   * Waits until the microVM runs, waking it when its policy allows, at most `waitMs`. One wake-up however many wait.
   * Rejects NOT_FOUND (terminated), CONFLICT (suspended, no auto-resume), VMM_FAILED (wake-up failed), and with
   * `details.retryAfterSeconds` VMM_FAILED (waited too long) and NO_CAPACITY (too many wait).
   */
  open(microvmId: string, signal: AbortSignal): Known<TrafficLease>;
  /**
   * Waits until the microVM runs, however long that takes, and does nothing to bring it about. Rejects NOT_FOUND
   * (terminated) and NO_CAPACITY (too many wait).
   */
  whenRunning(microvmId: string, signal: AbortSignal): Promise<TrafficLease>;
  /** Counts as traffic at this moment, without a lease and without waking. */
  noteActivity(microvmId: string): void;
}

/** The domain's side of traffic. */
export interface TrafficGate extends Traffic {
  /** A microVM's record or VMM changed: answers the waiters that can be answered. */
  changed(microvmId: string): void;
  /** A start or wake-up failed and will not be tried again by itself: the waiters get `error`. */
  failed(microvmId: string, error: ServiceError): void;
}

export interface TrafficDeps extends LeaseDeps {
  readonly live: LiveMicrovms;
  readonly microvms: Pick<MicrovmStore, "get" | "findByEndpoint" | "amend">;
  /** Longest wait for a start or a wake-up. */
  readonly waitMs: number;
}

interface Waiter {
  readonly since: number;
  resolve(lease: TrafficLease): void;
  reject(error: unknown): void;
}

/** The gate for inbound traffic. */
export function createTraffic(deps: TrafficDeps): TrafficGate {
  const queues = new Map<string, Set<Waiter>>();
  const patience = createPatience(deps, MAX_WAITERS);
  const waking = new Set<string>();
  let waiterCount = 0;

  function takeAll(microvmId: string): Iterable<Waiter> {
    const queue = queues.get(microvmId) ?? new Set<Waiter>();
    const taken = [...queue];
    queues.delete(microvmId);
    // Emptied, so that a waiter that gives up from now on is not counted out twice.
    queue.clear();
    waiterCount -= taken.length;
    return taken;
  }

  function failed(microvmId: string, error: ServiceError): void {
    for (const waiter of takeAll(microvmId)) waiter.reject(error);
  }

  function changed(microvmId: string): void {
    const isAwaited = patience.isAwaited(microvmId);
    if (!queues.has(microvmId) && !isAwaited) return;
    const live = deps.live.get(microvmId);
    const verdict = judge(live);
    if (isAwaited) patience.answer(microvmId, verdict);
    if (!queues.has(microvmId)) return;
    switch (verdict.is) {
      case "open":
        for (const { resolve, since } of takeAll(microvmId))
          resolve(leaseOf(deps, verdict.live, verdict.vmm, deps.clock.now() - since));
        break;
      case "refused":
        failed(microvmId, verdict.error(microvmId));
        break;
      case "asleep":
        void wake(microvmId);
        break;
      case "coming":
        break;
    }
  }

  async function wake(microvmId: string): Promise<void> {
    if (waking.has(microvmId)) return;
    waking.add(microvmId);
    try {
      await deps.microvms.amend(microvmId, (record) =>
        isAsleep(record) ? { desired: "RUNNING" } : null,
      );
    } catch (error) {
      const message = `Cannot wake microvm "${microvmId}": ${messageOf(error)}`;
      failed(microvmId, new ServiceError("VMM_FAILED", message, { cause: error }));
    } finally {
      waking.delete(microvmId);
    }
  }

  function wait(microvmId: string, signal: AbortSignal): Promise<TrafficLease> {
    const queue = queues.get(microvmId) ?? new Set<Waiter>();
    if (queue.size >= MAX_WAITERS_PER_MICROVM || waiterCount >= MAX_WAITERS) {
      const message = `Too many requests wait for microvm "${microvmId}"`;
      const details = { retryAfterSeconds: RETRY_AFTER_SECONDS };
      return Promise.reject(new ServiceError("NO_CAPACITY", message, { details }));
    }
    const { promise, resolve, reject } = Promise.withResolvers<TrafficLease>();
    const waiter = { since: deps.clock.now(), resolve, reject };
    queues.set(microvmId, queue.add(waiter));
    waiterCount += 1;
    const leave = (error: unknown) => {
      if (!queue.delete(waiter)) return;
      waiterCount -= 1;
      if (queue.size === 0) queues.delete(microvmId);
      reject(error);
    };
    const onAbort = () => leave(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const timer = deps.clock.setTimer(deps.waitMs, () =>
      leave(waitedTooLong(microvmId, deps.waitMs)),
    );
    changed(microvmId);
    return promise.finally(() => {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", onAbort);
    });
  }

  async function openLater(verdict: Verdict, microvmId: string, signal: AbortSignal) {
    signal.throwIfAborted();
    if (verdict.is === "refused") throw verdict.error(microvmId);
    return wait(microvmId, signal);
  }

  return {
    changed,
    failed,
    findById: (microvmId) => deps.live.get(microvmId)?.record ?? deps.microvms.get(microvmId),
    async findByEndpoint(endpointId) {
      const live = deps.live.findByEndpoint(endpointId);
      return live?.record ?? (await deps.microvms.findByEndpoint(endpointId));
    },
    open(microvmId, signal) {
      const verdict = judge(deps.live.get(microvmId));
      return verdict.is === "open" && !signal.aborted
        ? leaseOf(deps, verdict.live, verdict.vmm, 0)
        : openLater(verdict, microvmId, signal);
    },
    async whenRunning(microvmId, signal) {
      const waiting = patience.wait(microvmId, signal);
      changed(microvmId);
      return waiting;
    },
    noteActivity(microvmId) {
      const live = deps.live.get(microvmId);
      if (live?.vmm?.isOpen === true) live.lastActivityAt = deps.clock.now();
    },
  };
}

const COMING: Verdict = { is: "coming" };
const ASLEEP: Verdict = { is: "asleep" };
const TERMINATED: Verdict = {
  is: "refused",
  error: (microvmId) => new ServiceError("NOT_FOUND", `MicroVM not found: ${microvmId}`),
};
const STAYS_ASLEEP: Verdict = {
  is: "refused",
  error: (microvmId) =>
    new ServiceError(
      "CONFLICT",
      `The MicroVM ${microvmId} is suspended and does not resume by itself`,
    ),
};

/** What to do with a request for a microVM as it is at this moment. */
function judge(live: LiveMicrovm | undefined): Verdict {
  if (live === undefined) return TERMINATED;
  const { record, vmm } = live;
  const { state, desired } = record;
  if (desired === "TERMINATED" || state === "TERMINATING") return TERMINATED;
  const mayWake = record.idlePolicy?.autoResumeEnabled === true;
  if (desired === "SUSPENDED") {
    if (!mayWake) return STAYS_ASLEEP;
    // A suspend that was asked for is let happen first: waking before it would cancel it.
    return isAsleep(record) ? ASLEEP : COMING;
  }
  return state === "RUNNING" && vmm?.isOpen === true ? { is: "open", live, vmm } : COMING;
}

function isAsleep({ state, desired }: MicrovmRecord): boolean {
  return desired === "SUSPENDED" && (state === "SUSPENDING" || state === "SUSPENDED");
}

function waitedTooLong(microvmId: string, waitMs: number): ServiceError {
  return new ServiceError(
    "VMM_FAILED",
    `Cannot reach microvm "${microvmId}": it did not run within ${waitMs / 1000} s`,
    { details: { retryAfterSeconds: RETRY_AFTER_SECONDS } },
  );
}
