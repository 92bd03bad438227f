// After a restart of the service: takes over the VMMs that run, ends those that were in between, and removes what
// belongs to nothing. What is found decides, not what the control plane believes.

import { rm } from "node:fs/promises";
import { messageOf } from "../errors.ts";
import type { Log } from "../lib/log.ts";
import type { Vmm, VmmIdentity } from "../vmm/driver.ts";
import { builtImageFiles, readManifest } from "./image-files.ts";
import { assemble, freshIdentity, type LaunchDeps, type LaunchedVmm } from "./launch.ts";
import {
  dropStaleState,
  hasSavedState,
  listMicrovmFiles,
  microvmFiles,
  unmarkUsed,
} from "./microvm-files.ts";
import {
  markLaunched,
  readVmmRecords,
  removeVmmRecord,
  vmmRunDir,
  type VmmRecord,
} from "./vmm-records.ts";

export interface RecoverDeps extends LaunchDeps {
  readonly imagesDir: string;
  readonly microvmsDir: string;
  readonly buildsDir: string;
  readonly log: Log;
}

export interface Recovered {
  readonly running: readonly {
    readonly microvmId: string;
    readonly imageRef: string;
    readonly launched: LaunchedVmm;
  }[];
  readonly suspended: readonly string[];
}

/** Takes over or removes everything an earlier service process left on this host. */
export async function recoverHost(deps: RecoverDeps, signal: AbortSignal): Promise<Recovered> {
  const { records, unreadable } = await readVmmRecords(deps.vmmsDir);
  for (const vmmId of unreadable) await removeVmmRecord(deps.vmmsDir, vmmId);
  // All at once, so that guests that do not answer cost their time-out once, not one after another.
  const found = await Promise.all(
    records.map(async (record) => ({ record, launched: await takeOver(deps, record, signal) })),
  );
  const running = found.flatMap(({ record: { microvmId, imageRef }, launched }) =>
    launched === undefined || microvmId === null ? [] : [{ microvmId, imageRef, launched }],
  );
  await deps.slots.reclaim();
  await rm(deps.buildsDir, { recursive: true, force: true });
  const suspended = await sortMicrovmFiles(deps, new Set(running.map((vm) => vm.microvmId)));
  return { running, suspended };
}

/** The VMM of a record, running; undefined when it had to be, or already was, ended. */
async function takeOver(
  deps: RecoverDeps,
  record: VmmRecord,
  signal: AbortSignal,
): Promise<LaunchedVmm | undefined> {
  const { vmmId, microvmId, memoryPath, hardware } = record;
  const identity = { vmmId, runDir: vmmRunDir(deps.vmmsDir, vmmId), memoryPath, hardware };
  if (microvmId !== null) {
    try {
      const launched = await adoptRunning(deps, record, identity, signal);
      if (launched !== undefined) return launched;
    } catch (error) {
      signal.throwIfAborted();
      deps.log.warn("Cannot take over a VMM, ending it", {
        vmmId,
        microvmId,
        reason: messageOf(error),
      });
    }
  }
  await deps.driver.reap(identity);
  await removeVmmRecord(deps.vmmsDir, vmmId);
  return undefined;
}

async function adoptRunning(
  deps: RecoverDeps,
  record: VmmRecord,
  identity: VmmIdentity,
  signal: AbortSignal,
): Promise<LaunchedVmm | undefined> {
  const manifest = await readManifest(builtImageFiles(deps.imagesDir, record.imageRef));
  await using acquired = new AsyncDisposableStack();
  const slot = await deps.slots.adopt(record.slotIndex);
  if (slot === undefined) return undefined;
  acquired.defer(() => deps.slots.release(slot));
  acquired.defer(() => removeVmmRecord(deps.vmmsDir, record.vmmId));
  const vmm = await deps.driver.adopt(identity, signal);
  if (vmm === undefined) return undefined;
  acquired.use(vmm);
  if (!(await isWorthKeeping(deps, record, vmm, signal))) return undefined;
  const guest = acquired.use(
    deps.connectGuest({ address: slot.address, secret: manifest.agentSecret }),
  );
  // A guest that was cut off before it heard that it is a clone hears it now. One that knows is left alone: being told
  // again would cost it its connections.
  if (record.phase === "launching") {
    await guest.restored(freshIdentity(), signal);
    await markLaunched(deps.vmmsDir, record);
  }
  const { agentSecret } = manifest;
  return assemble({ vmm, slot, guest, agentSecret }, acquired.move());
}

/**
 * A running guest is kept. A paused one that was launched was in the middle of a suspend: with its state saved it is done
 * with, without it goes on. One whose launch was cut off never ran, so its saved state, if it had one, is as good as before.
 */
async function isWorthKeeping(
  deps: RecoverDeps,
  record: VmmRecord,
  vmm: Vmm,
  signal: AbortSignal,
): Promise<boolean> {
  const files = microvmFiles(deps.microvmsDir, record.microvmId ?? "");
  const status = await vmm.status(signal);
  if (status === "running") return true;
  if (record.phase === "launching") {
    await vmm[Symbol.asyncDispose]();
    await unmarkUsed(files);
    return false;
  }
  if (status !== "paused" || (await hasSavedState(files))) return false;
  await vmm.resume(signal);
  return true;
}

/** Removes files of microVMs that neither run nor have a saved state; returns the ids of those that are suspended. */
async function sortMicrovmFiles(
  deps: RecoverDeps,
  running: ReadonlySet<string>,
): Promise<string[]> {
  const suspended: string[] = [];
  for (const microvmId of await listMicrovmFiles(deps.microvmsDir)) {
    const files = microvmFiles(deps.microvmsDir, microvmId);
    await dropStaleState(files);
    if (running.has(microvmId)) continue;
    if (await hasSavedState(files)) suspended.push(microvmId);
    else await rm(files.directory, { recursive: true, force: true });
  }
  return suspended;
}
