// At start: brings the records of live microVMs and what the host still has back together. docs/lifecycle.md shows the
// same table.

import type { Host, HostInventory, RunningVmm } from "../host/host.ts";
import type { Log } from "../lib/log.ts";
import { type LiveMicrovm, type LiveMicrovms, newLiveVmm } from "../microvms/live.ts";
import type { MicrovmRecord } from "../microvms/records.ts";
import type { MicrovmStore } from "../store/store.ts";
import { giveUp, reasonOf } from "./step-context.ts";

export const REASON_VMM_LOST = "The virtual machine ended while the service was down.";
export const REASON_STATE_LOST = "The suspended state of the MicroVM is no longer on disk.";

export type Recovery =
  /** Its VMM runs: take it over. */
  | { readonly do: "adopt"; readonly vmm: RunningVmm; readonly isGreeted: boolean }
  /** Nobody was told that it runs: start from nothing. */
  | { readonly do: "startOver" }
  /** The host has finished saving it; only the record is behind. */
  | { readonly do: "acceptSaved" }
  | { readonly do: "giveUp"; readonly reason: string }
  /** The record is right as it is. */
  | { readonly do: "keep" };

/** What the host has of one microVM. */
export interface Found {
  readonly running: RunningVmm | undefined;
  readonly isSuspended: boolean;
}

/** How one microVM is taken up again. Pure. */
export function planRecovery(record: MicrovmRecord, found: Found): Recovery {
  const { state, vmmId } = record;
  const vmm = found.running?.vmmId === vmmId ? found.running : undefined;
  switch (state) {
    case "PENDING":
      return { do: "startOver" };
    case "RUNNING":
      return vmm === undefined
        ? { do: "giveUp", reason: REASON_VMM_LOST }
        : { do: "adopt", vmm, isGreeted: true };
    case "SUSPENDING":
      if (vmm !== undefined) return { do: "adopt", vmm, isGreeted: true };
      if (found.isSuspended) return { do: "acceptSaved" };
      return { do: "giveUp", reason: REASON_VMM_LOST };
    case "SUSPENDED":
      // A wake-up was under way; whether its hook was called is not known, so it is called again.
      if (vmm !== undefined) return { do: "adopt", vmm, isGreeted: false };
      return found.isSuspended ? { do: "keep" } : { do: "giveUp", reason: REASON_STATE_LOST };
    case "TERMINATING":
    case "TERMINATED":
      return { do: "keep" };
    default:
      return state satisfies never;
  }
}

export interface RecoveryDeps {
  readonly host: Pick<Host, "recover" | "terminate">;
  readonly microvms: Pick<MicrovmStore, "listLive">;
  readonly live: LiveMicrovms;
  readonly log: Log;
}

/** Fills `live` from the store and the host, and has the host remove what belongs to no live microVM. */
export async function recoverMicrovms(deps: RecoveryDeps, signal: AbortSignal): Promise<void> {
  const inventory = await deps.host.recover(signal);
  for (const record of await deps.microvms.listLive()) deps.live.put(record);
  await removeLeftovers(deps, inventory);
  const running = new Map(inventory.running.map((vmm) => [vmm.microvmId, vmm]));
  const suspended = new Set(inventory.suspended);
  for (const live of deps.live.values()) {
    const { microvmId, state, desired } = live.record;
    const recovery = planRecovery(live.record, {
      running: running.get(microvmId),
      isSuspended: suspended.has(microvmId),
    });
    deps.log.info("Recovered microvm", { microvmId, state, desired, recovery: recovery.do });
    await applyRecovery(deps, live, recovery);
  }
}

async function applyRecovery(
  deps: RecoveryDeps,
  live: LiveMicrovm,
  recovery: Recovery,
): Promise<void> {
  const { microvmId, state, vmmId } = live.record;
  // Whatever was launched under this id was launched by an earlier service; a new launch needs a new id.
  live.launchedVmmId = vmmId;
  switch (recovery.do) {
    case "adopt": {
      const vmm = newLiveVmm(recovery.vmm);
      vmm.isGreeted = recovery.isGreeted;
      vmm.isOpen = state === "RUNNING";
      live.vmm = vmm;
      break;
    }
    case "startOver":
      try {
        await deps.host.terminate(microvmId);
      } catch (error) {
        deps.log.warn("Cannot start microvm over", { microvmId, vmmId, error });
        giveUp(live, reasonOf(error));
      }
      break;
    case "acceptSaved":
      live.isSaved = true;
      break;
    case "giveUp":
      giveUp(live, recovery.reason);
      break;
    case "keep":
      break;
    default:
      recovery satisfies never;
  }
}

async function removeLeftovers(deps: RecoveryDeps, inventory: HostInventory): Promise<void> {
  const found = [...inventory.running.map(({ microvmId }) => microvmId), ...inventory.suspended];
  for (const microvmId of new Set(found)) {
    if (deps.live.get(microvmId) !== undefined) continue;
    deps.log.warn("Removing what is left of an unknown microvm", { microvmId });
    try {
      await deps.host.terminate(microvmId);
    } catch (error) {
      // The next start finds it again.
      deps.log.error("Cannot remove what is left of a microvm", { microvmId, error });
    }
  }
}
