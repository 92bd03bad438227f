// The microVMs that are not TERMINATED, in memory: their record as last written and the VMM that acts for them. It is
// what the ingress reads on every request. The store stays the truth; nothing here survives the process.

import type { MicrovmStore } from "../store/store.ts";
import type { MicrovmRecord } from "./records.ts";

/** A VMM as this service process knows it. */
export interface LiveVmm {
  readonly vmmId: string;
  readonly address: string;
  /** Aborted when the VMM is gone, whoever ended it. */
  readonly gone: AbortController;
  /** Whether the hook that follows its start has answered, or none is enabled. */
  isGreeted: boolean;
  /** Whether inbound traffic may pass; closed before a suspend or terminate begins. */
  isOpen: boolean;
  /** Inbound requests in progress. */
  leases: number;
}

export interface LiveMicrovm {
  record: MicrovmRecord;
  vmm: LiveVmm | null;
  /** `vmmId` of the last launch asked of the host; a further launch needs a new one. */
  launchedVmmId: string | null;
  /** Whether the host holds the complete suspended state that the record does not show yet. */
  isSaved: boolean;
  /** Why the VMM that acted for the microVM is gone; counts only while the record names that VMM. */
  ended: { readonly vmmId: string | null; readonly reason: string } | null;
  /** Epoch ms of the last inbound byte known of, or of the start of the VMM. */
  lastActivityAt: number;
}

export interface LiveMicrovms {
  get(microvmId: string): LiveMicrovm | undefined;
  findByEndpoint(endpointId: string): LiveMicrovm | undefined;
  /** Takes over a record that was written; forgets a TERMINATED one. */
  put(record: MicrovmRecord): void;
  values(): Iterable<LiveMicrovm>;
  countPending(): number;
}

/** An empty directory. `now` is epoch ms. */
export function createLiveMicrovms(now: () => number): LiveMicrovms {
  const byId = new Map<string, LiveMicrovm>();
  const byEndpoint = new Map<string, LiveMicrovm>();
  return {
    get: (microvmId) => byId.get(microvmId),
    findByEndpoint: (endpointId) => byEndpoint.get(endpointId),
    put(record) {
      const known = byId.get(record.microvmId);
      if (record.state === "TERMINATED") {
        byId.delete(record.microvmId);
        byEndpoint.delete(record.endpointId);
      }
      if (known !== undefined) {
        known.record = record;
      } else if (record.state !== "TERMINATED") {
        const live = newLive(record, now());
        byId.set(record.microvmId, live);
        byEndpoint.set(record.endpointId, live);
      }
    },
    values: () => byId.values(),
    countPending() {
      let count = 0;
      for (const { record } of byId.values()) if (record.state === "PENDING") count += 1;
      return count;
    },
  };
}

function newLive(record: MicrovmRecord, now: number): LiveMicrovm {
  return {
    record,
    vmm: null,
    launchedVmmId: null,
    isSaved: false,
    ended: null,
    lastActivityAt: now,
  };
}

/** A VMM that was just started or adopted: closed to traffic until its hook has answered. */
export function newLiveVmm(vmm: { readonly vmmId: string; readonly address: string }): LiveVmm {
  return {
    vmmId: vmm.vmmId,
    address: vmm.address,
    gone: new AbortController(),
    isGreeted: false,
    isOpen: false,
    leases: 0,
  };
}

/** Takes the VMM away from a microVM and cuts the connections through it. */
export function dropVmm(live: LiveMicrovm): void {
  const { vmm } = live;
  if (vmm === null) return;
  vmm.isOpen = false;
  live.vmm = null;
  vmm.gone.abort(new DOMException("The VMM is gone", "AbortError"));
}

/** The same store, telling `onWrite` of every record it has written. */
export function observeMicrovms(
  store: MicrovmStore,
  onWrite: (record: MicrovmRecord) => void,
): MicrovmStore {
  const told = (record: MicrovmRecord) => {
    onWrite(record);
    return record;
  };
  return {
    ...store,
    create: async (record, ...guards) => {
      const created = await store.create(record, ...guards);
      // A replayed request returns an older microVM, which nothing was written of.
      return created.microvmId === record.microvmId ? told(created) : created;
    },
    transition: async (microvmId, move) => told(await store.transition(microvmId, move)),
    amend: async (microvmId, change) => told(await store.amend(microvmId, change)),
  };
}
