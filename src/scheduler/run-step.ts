// PENDING → RUNNING: the first VMM of a microVM, then its `/run` hook, then traffic.

import { hookFailureReason, runHookBody } from "../microvms/hooks.ts";
import { dropVmm, type LiveMicrovm, newLiveVmm } from "../microvms/live.ts";
import {
  callHook,
  giveUp,
  hasEnded,
  hookOf,
  mintVmmId,
  reasonOf,
  runRequestOf,
  type StepDeps,
} from "./step-context.ts";

/** Starts a microVM. What was done is remembered in `live`, so that a failed write is retried without doing it again. */
export async function runMicrovm(
  deps: StepDeps,
  live: LiveMicrovm,
  signal: AbortSignal,
): Promise<void> {
  if (live.vmm === null) await launch(deps, live, signal);
  if (live.vmm?.isGreeted === false) await greet(deps, live, signal);
  const { vmm } = live;
  if (vmm === null || hasEnded(live)) return;
  live.lastActivityAt = deps.clock.now();
  vmm.isOpen = true;
  await deps.microvms.transition(live.record.microvmId, {
    to: "RUNNING",
    fence: vmm.vmmId,
    patch: { runHookPayload: null, stateReason: null },
  });
}

async function launch(deps: StepDeps, live: LiveMicrovm, signal: AbortSignal): Promise<void> {
  const vmmId = await mintVmmId(deps, live);
  const { microvmId } = live.record;
  try {
    const request = runRequestOf(live, vmmId);
    const running = await deps.permits.launch.run(() => deps.host.run(request, signal), signal);
    if (!hasEnded(live)) live.vmm = newLiveVmm(running);
  } catch (error) {
    if (signal.aborted) throw error;
    deps.log.warn("Cannot start microvm", { microvmId, vmmId, error });
    giveUp(live, reasonOf(error));
  }
}

async function greet(deps: StepDeps, live: LiveMicrovm, signal: AbortSignal): Promise<void> {
  const { record, vmm } = live;
  if (vmm === null) return;
  const settings = await hookOf(deps, live, "run");
  try {
    if (settings !== undefined) {
      const body = runHookBody(record.microvmId, record.runHookPayload);
      await callHook(deps, vmm, { hook: "run", body, ...settings }, signal);
    }
    vmm.isGreeted = true;
  } catch (error) {
    if (signal.aborted) throw error;
    const { microvmId, vmmId } = record;
    deps.log.warn("The run hook failed", { microvmId, vmmId, error });
    giveUp(live, hookFailureReason("run", settings?.timeoutMs ?? 0, error));
    dropVmm(live);
  }
}
