// Any live state → TERMINATING → TERMINATED: traffic stops, the `/terminate` hook as a courtesy, then everything of the
// microVM is removed from the host.

import { dropVmm, type LiveMicrovm, type LiveVmm } from "../microvms/live.ts";
import { callHook, hookOf, type StepDeps } from "./step-context.ts";

/** Ends a microVM. Repeated until it succeeds: a VMM must not be left behind. */
export async function terminateMicrovm(
  deps: StepDeps,
  live: LiveMicrovm,
  reason: string,
  signal: AbortSignal,
): Promise<void> {
  const { microvmId, vmmId, state } = live.record;
  const { vmm } = live;
  if (vmm !== null) vmm.isOpen = false;
  if (state !== "TERMINATING") {
    await deps.microvms.transition(microvmId, {
      to: "TERMINATING",
      fence: vmmId,
      patch: { desired: "TERMINATED", stateReason: reason, runHookPayload: null },
    });
    // A guest whose /run or /resume has not answered is not in service, and a repeated attempt has called it already.
    if (vmm?.isGreeted === true) await sayGoodbye(deps, live, vmm, signal);
  }
  dropVmm(live);
  await deps.permits.terminate.run(() => deps.host.terminate(microvmId), signal);
  await deps.microvms.transition(microvmId, {
    to: "TERMINATED",
    fence: vmmId,
    patch: { vmmId: null, terminatedAt: deps.clock.now() },
  });
  deps.log.info("Terminated", { microvmId, vmmId, reason });
}

async function sayGoodbye(
  deps: StepDeps,
  live: LiveMicrovm,
  vmm: LiveVmm,
  signal: AbortSignal,
): Promise<void> {
  const settings = await hookOf(deps, live, "terminate");
  if (settings === undefined) return;
  try {
    await callHook(deps, vmm, { hook: "terminate", body: "", ...settings }, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const { microvmId, vmmId } = live.record;
    deps.log.warn("The terminate hook failed", { microvmId, vmmId, error });
  }
}
