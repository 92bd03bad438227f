// What programs that watch the service may ask: whether it can do its work, and the text of its metrics.

import { statfs } from "node:fs/promises";
import type { Probes } from "../api/routes/probes.ts";
import { addressesIn } from "../lib/cidrs.ts";
import { measureCapacity } from "./capacity.ts";
import type { Instruments } from "./metrics.ts";

export interface ProbesDeps {
  readonly instruments: Instruments;
  readonly dataDir: string;
  /** Who may read metrics, in CIDR notation. */
  readonly allow: readonly string[];
  /** Aborts when the service ends. */
  readonly stopping: AbortSignal;
  readonly slots: { usage(): { readonly leased: number; readonly ready: number } };
  readonly countConnections: () => number;
  /** Reads something from the store; what does not matter. */
  readonly askStore: () => Promise<unknown>;
}

/** Less and neither a suspend nor a build may be expected to succeed. */
const LEAST_FREE_BYTES = 256 * 1024 * 1024;

/** The probes of a running service. */
export function createProbes(deps: ProbesDeps): Probes {
  const { instruments } = deps;
  return {
    async unready() {
      const free = await freeBytes(deps.dataDir);
      return [
        ...(deps.stopping.aborted ? ["The service is stopping"] : []),
        ...(free === undefined ? ["The data directory cannot be reached"] : []),
        ...((await isAnswered(deps.askStore)) ? [] : ["The store cannot be read"]),
        ...(free !== undefined && free < LEAST_FREE_BYTES
          ? ["The file system of the data directory is full"]
          : []),
      ];
    },
    async metrics() {
      await measureCapacity(instruments, deps.dataDir);
      const { leased, ready } = deps.slots.usage();
      instruments.slots.labels("leased").set(leased);
      instruments.slots.labels("ready").set(ready);
      instruments.ingressConnections.set(deps.countConnections());
      const { registry } = instruments;
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
    mayReadMetrics: addressesIn(deps.allow),
  };
}

/** Whoever probes a service that is unwell is to be told so. */
async function isAnswered(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch {
    return false;
  }
}

/** Undefined where the file system cannot be asked: whoever probes a service that is unwell is to be told so. */
async function freeBytes(dataDir: string): Promise<number | undefined> {
  try {
    const { bsize, bavail } = await statfs(dataDir);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
