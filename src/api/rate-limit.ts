// The service's request rates: one token bucket for each operation of each account in each region. Burst and rate are the
// same number, so a bucket that was left alone for a second is full again and need not be kept.
//
// INVARIANTS
// - `buckets` is in the order of last use, and never holds more than `MAX_BUCKETS`.
// - Memory is bounded before fairness: with more callers than that at once, the one that was longest quiet starts full.

import { ServiceError } from "../errors.ts";
import { makeRoom } from "../lib/bounded.ts";
import type { Clock } from "../lib/clock.ts";
import type { Scope } from "../microvms/records.ts";

export const MAX_BUCKETS = 4096;

/** Requests a second, and at once, by operation; an operation that is not named has no limit. */
export type Rates = Readonly<Record<string, number>>;

export interface RateLimiter {
  /** Counts one request. Throws THROTTLED, saying when the next one will be let through. */
  admit(scope: Scope, operation: string): void;
}

interface Bucket {
  tokens: number;
  /** Epoch ms of the last use. */
  usedAt: number;
}

/** A limiter whose buckets are all full. */
export function createRateLimiter(
  deps: { readonly clock: Pick<Clock, "now"> },
  rates: Rates,
): RateLimiter {
  const buckets = new Map<string, Bucket>();
  const take = (key: string, rate: number, now: number): Bucket => {
    const known = buckets.get(key);
    buckets.delete(key);
    makeRoom(buckets, MAX_BUCKETS);
    const { tokens, usedAt } = known ?? { tokens: rate, usedAt: now };
    // A clock that was set back must not take tokens away.
    const refilled = Math.min(rate, tokens + (Math.max(0, now - usedAt) / 1000) * rate);
    const bucket = { tokens: refilled, usedAt: now };
    buckets.set(key, bucket);
    return bucket;
  };
  return {
    admit({ account, region }, operation) {
      const rate = Object.hasOwn(rates, operation) ? rates[operation] : undefined;
      if (rate === undefined) return;
      const bucket = take(`${operation} ${account} ${region}`, rate, deps.clock.now());
      if (bucket.tokens < 1)
        throw new ServiceError("THROTTLED", "Rate exceeded", {
          details: { retryAfterSeconds: (1 - bucket.tokens) / rate },
        });
      bucket.tokens -= 1;
    },
  };
}
