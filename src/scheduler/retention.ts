// Forgets microVMs some time after they were terminated.

import { type Clock, pause } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { MicrovmStore } from "../store/store.ts";

export const PURGE_INTERVAL_MS = 600_000;
/** Rows a transaction, so that no purge holds up the store for long. */
const PURGE_BATCH = 200;

export interface RetentionDeps {
  readonly microvms: Pick<MicrovmStore, "purgeTerminated">;
  readonly clock: Clock;
  readonly log: Log;
  readonly retentionMs: number;
}

/** Purges at once and then every `PURGE_INTERVAL_MS` until the signal aborts. */
export async function keepPurging(deps: RetentionDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await purge(deps, signal);
    } catch (error) {
      deps.log.error("Cannot forget terminated microvms", { error });
    }
    await pause(deps.clock, PURGE_INTERVAL_MS, signal);
  }
}

async function purge(
  { microvms, clock, log, retentionMs }: RetentionDeps,
  signal: AbortSignal,
): Promise<void> {
  const before = clock.now() - retentionMs;
  let purged = PURGE_BATCH;
  while (purged === PURGE_BATCH && !signal.aborted) {
    purged = await microvms.purgeTerminated(before, PURGE_BATCH);
    if (purged > 0) log.info("Forgot terminated microvms", { count: purged });
  }
}
