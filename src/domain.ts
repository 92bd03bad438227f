// The domain, wired: operations, traffic, builds and the scheduler over one store and one host.

import type { Config } from "./config.ts";
import { createConnectorOperations } from "./connectors/create-operations.ts";
import type { ConnectorOperations } from "./connectors/operations.ts";
import { ConnectorProvisioning } from "./connectors/provisioning.ts";
import type { Host } from "./host/host.ts";
import { ImageBuilds } from "./images/builds.ts";
import { createImageOperations } from "./images/create-operations.ts";
import { createManagedImages, DEFAULT_MANAGED_IMAGES } from "./images/managed.ts";
import type { ImageOperations } from "./images/operations.ts";
import type { Clock } from "./lib/clock.ts";
import type { Log } from "./lib/log.ts";
import type { Traced } from "./lib/trace.ts";
import { createMicrovmOperations } from "./microvms/create-operations.ts";
import { createLiveMicrovms, observeMicrovms } from "./microvms/live.ts";
import type { MicrovmOperations } from "./microvms/operations.ts";
import { createTraffic, type Traffic } from "./microvms/traffic.ts";
import { Scheduler } from "./scheduler/loop.ts";
import { recoverMicrovms } from "./scheduler/reclaim.ts";
import { keepPurging } from "./scheduler/retention.ts";
import type { MemoryQuota, Store } from "./store/store.ts";

export interface DomainDeps extends Traced {
  readonly store: Store;
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: Pick<Config, "terminatedRetentionHours"> & {
    readonly ingress: Pick<Config["ingress"], "waitSeconds">;
    readonly managedImages?: Config["managedImages"];
    readonly quotas: Pick<
      Config["quotas"],
      "memoryMiB" | "networkConnectors" | "images" | "versionsPerImage"
    > &
      Partial<Pick<Config["quotas"], "memoryCounts" | "memoryCountsBuilds" | "concurrentBuilds">>;
  };
}

/** Disposing it stops everything it does, leaving VMMs running; store and host stay the caller's. */
export interface Domain extends AsyncDisposable {
  readonly microvms: MicrovmOperations;
  readonly images: ImageOperations;
  readonly connectors: ConnectorOperations;
  readonly traffic: Traffic;
  /** Recovers what an earlier service left, then begins to act. Once, before the edge serves; the signal gives up the recovery. */
  start(signal: AbortSignal): Promise<void>;
}

/** Wires the domain. Nothing happens before `start`. */
export function createDomain(deps: DomainDeps): Domain {
  const { store, host, clock, log, config, trace } = deps;
  const live = createLiveMicrovms(() => clock.now());
  const microvms = observeMicrovms(store.microvms, (record) => {
    live.put(record);
    traffic.changed(record.microvmId);
    scheduler.wake(record.microvmId);
  });
  const traffic = createTraffic({
    live,
    microvms,
    clock,
    waitMs: config.ingress.waitSeconds * 1000,
    onQuiet: (microvmId) => scheduler.rearm(microvmId),
  });
  const { images, connectors } = store;
  const scheduler = new Scheduler({
    ...{ host, microvms, images, live, traffic, clock, log, ...(trace && { trace }) },
  });
  const builds = new ImageBuilds({ images, host, clock, log });
  const provisioning = new ConnectorProvisioning({ connectors, clock, log });
  const stopping = new AbortController();
  let purging: Promise<void> = Promise.resolve();
  return {
    microvms: createMicrovmOperations({
      ...{ microvms, images, connectors, live, clock },
      memoryQuota: memoryQuotaOf(config.quotas),
    }),
    images: createImageOperations({
      images,
      connectors,
      clock,
      onBuildWanted: () => builds.wake(),
      managed: createManagedImages(config.managedImages ?? DEFAULT_MANAGED_IMAGES),
      cpuTarget: host.cpuTarget,
      limits: config.quotas,
      onDeleteWanted: (image) => builds.remove(image),
      onVersionDeleteWanted: (version) => builds.removeVersion(version),
    }),
    connectors: createConnectorOperations({
      connectors,
      clock,
      limit: config.quotas.networkConnectors,
      onChangeWanted: () => provisioning.wake(),
    }),
    traffic,
    async start(signal) {
      await recoverMicrovms({ host, microvms, live, log }, signal);
      scheduler.start();
      await builds.start();
      provisioning.wake();
      const retentionMs = config.terminatedRetentionHours * 3_600_000;
      purging = keepPurging({ microvms, clock, log, retentionMs }, stopping.signal);
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await Promise.all([
        scheduler[Symbol.asyncDispose](),
        builds[Symbol.asyncDispose](),
        provisioning[Symbol.asyncDispose](),
        purging,
      ]);
    },
  };
}

function memoryQuotaOf(quotas: DomainDeps["config"]["quotas"]): MemoryQuota {
  return {
    limitMiB: quotas.memoryMiB,
    counts: quotas.memoryCounts ?? "baseline",
    countsBuilds: quotas.memoryCountsBuilds ?? true,
  };
}
