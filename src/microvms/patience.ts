// Who waits for a microVM to run without wanting to wake it: a shell that was open when the microVM was suspended.

import { ServiceError } from "../errors.ts";
import { type LeaseDeps, leaseOf, type TrafficLease, type Verdict } from "./lease.ts";

interface PatientWaiter {
  readonly since: number;
  resolve(lease: TrafficLease): void;
  reject(error: unknown): void;
}

/** The waiting of those who do not wake. */
export interface Patience {
  isAwaited(microvmId: string): boolean;
  /** Answers whoever can be answered. */
  answer(microvmId: string, verdict: Verdict): void;
  /** Rejects NOT_FOUND (terminated), NO_CAPACITY (over `limit` wait) and with the signal's reason. */
  wait(microvmId: string, signal: AbortSignal): Promise<TrafficLease>;
}

/** Nobody waits at first. */
export function createPatience(deps: LeaseDeps, limit: number): Patience {
  const queues = new Map<string, Set<PatientWaiter>>();
  let count = 0;

  function takeAll(microvmId: string): PatientWaiter[] {
    const queue = queues.get(microvmId) ?? new Set<PatientWaiter>();
    const taken = [...queue];
    queues.delete(microvmId);
    queue.clear();
    count -= taken.length;
    return taken;
  }

  return {
    isAwaited: (microvmId) => queues.has(microvmId),
    answer(microvmId, verdict) {
      if (verdict.is === "open") {
        for (const { resolve, since } of takeAll(microvmId))
          resolve(leaseOf(deps, verdict.live, verdict.vmm, deps.clock.now() - since));
      } else if (verdict.is === "refused") {
        const error = verdict.error(microvmId);
        // That it stays asleep refuses requests; who waits here has the time.
        if (error.code !== "NOT_FOUND") return;
        for (const { reject } of takeAll(microvmId)) reject(error);
      }
    },
    wait(microvmId, signal) {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      if (count >= limit) {
        const message = `Too many wait for microvm "${microvmId}" and others`;
        return Promise.reject(new ServiceError("NO_CAPACITY", message));
      }
      const { promise, resolve, reject } = Promise.withResolvers<TrafficLease>();
      const waiter = { since: deps.clock.now(), resolve, reject };
      const queue = queues.get(microvmId) ?? new Set<PatientWaiter>();
      queues.set(microvmId, queue.add(waiter));
      count += 1;
      const leave = () => {
        if (!queue.delete(waiter)) return;
        count -= 1;
        if (queue.size === 0) queues.delete(microvmId);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      return promise.finally(() => signal.removeEventListener("abort", leave));
    },
  };
}
