// RUNNING → SUSPENDING → SUSPENDED: traffic stops, the `/suspend` hook, the state on disk, then the VMM is gone. A
// microVM that cannot be suspended runs on.

import { hookFailureReason } from "../microvms/hooks.ts";
import { dropVmm, type LiveMicrovm, type LiveVmm } from "../microvms/live.ts";
import {
  callHook,
  giveUp,
  hasEnded,
  hookOf,
  reasonOf,
  type StepDeps,
  tookAllWithIt,
} from "./step-context.ts";

/** Suspends a microVM, or finishes what an earlier attempt began. */
export async function suspendMicrovm(
  deps: StepDeps,
  live: LiveMicrovm,
  signal: AbortSignal,
): Promise<void> {
  const { microvmId, vmmId, state } = live.record;
  if (!live.isSaved) {
    if (state === "RUNNING") await closeAndRecord(deps, live);
    if (!(await save(deps, live, signal))) return;
  }
  await deps.microvms.transition(microvmId, {
    to: "SUSPENDED",
    fence: vmmId,
    patch: { vmmId: null, suspendedAt: deps.clock.now(), stateReason: null },
  });
  live.isSaved = false;
}

/** RUNNING → SUSPENDING. Closed before the write, so that no request slips in between the decision and its record. */
async function closeAndRecord(deps: StepDeps, { record, vmm }: LiveMicrovm): Promise<void> {
  if (vmm !== null) vmm.isOpen = false;
  try {
    await deps.microvms.transition(record.microvmId, {
      to: "SUSPENDING",
      fence: record.vmmId,
      patch: { desired: "SUSPENDED" },
    });
  } catch (error) {
    // A store that cannot write must not keep requests from a guest that runs.
    if (vmm !== null) vmm.isOpen = true;
    deps.traffic.changed(record.microvmId);
    throw error;
  }
}

/** Saves the state and ends the VMM; false when that failed and the microVM goes another way. */
async function save(deps: StepDeps, live: LiveMicrovm, signal: AbortSignal): Promise<boolean> {
  const { vmm, record } = live;
  const { microvmId, vmmId } = record;
  if (vmm === null) {
    giveUp(live, "The MicroVM ended while it was being suspended.");
    return false;
  }
  if (!(await sayGoodnight(deps, live, vmm, signal))) return false;
  try {
    const result = await deps.permits.suspend.run(
      () => deps.host.suspend(vmm.vmmId, signal),
      signal,
    );
    deps.log.info("Suspended", { microvmId, vmmId, ...result });
  } catch (error) {
    if (signal.aborted) throw error;
    deps.log.warn("Cannot suspend microvm", { microvmId, vmmId, error });
    if (tookAllWithIt(error)) {
      giveUp(live, reasonOf(error));
      dropVmm(live);
    } else {
      await runOn(deps, live, vmm, reasonOf(error));
    }
    return false;
  }
  live.isSaved = true;
  dropVmm(live);
  return true;
}

/** Calls the `/suspend` hook; false when it failed and the microVM runs on, or is gone. */
async function sayGoodnight(
  deps: StepDeps,
  live: LiveMicrovm,
  vmm: LiveVmm,
  signal: AbortSignal,
): Promise<boolean> {
  const settings = await hookOf(deps, live, "suspend");
  if (settings === undefined) return true;
  try {
    await callHook(deps, vmm, { hook: "suspend", body: "", ...settings }, signal);
    return true;
  } catch (error) {
    if (signal.aborted) throw error;
    const { microvmId, vmmId } = live.record;
    deps.log.warn("The suspend hook failed", { microvmId, vmmId, error });
    await runOn(deps, live, vmm, hookFailureReason("suspend", settings.timeoutMs, error));
    return false;
  }
}

/** Back to RUNNING, with the reason to be seen there. An idle microVM is tried again after another idle time. */
async function runOn(
  deps: StepDeps,
  live: LiveMicrovm,
  vmm: LiveVmm,
  reason: string,
): Promise<void> {
  if (hasEnded(live)) return;
  live.lastActivityAt = deps.clock.now();
  vmm.isOpen = true;
  await deps.microvms.transition(live.record.microvmId, {
    to: "RUNNING",
    fence: vmm.vmmId,
    patch: { desired: "RUNNING", stateReason: reason },
  });
}
