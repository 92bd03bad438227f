// SUSPENDED → RUNNING: a new VMM from the saved state, then the `/resume` hook, then traffic. The state reads SUSPENDED
// until the hook has answered. A microVM that cannot be woken keeps its saved state and stays SUSPENDED.

import { ServiceError } from "../errors.ts";
import { hookFailureReason } from "../microvms/hooks.ts";
import { dropVmm, type LiveMicrovm, type LiveVmm, newLiveVmm } from "../microvms/live.ts";
import {
  callHook,
  giveUp,
  hasEnded,
  hookOf,
  mintVmmId,
  reasonOf,
  runRequestOf,
  type StepDeps,
  tookAllWithIt,
} from "./step-context.ts";

/** Wakes a microVM. What was done is remembered in `live`, so that a failed write is retried without doing it again. */
export async function resumeMicrovm(
  deps: StepDeps,
  live: LiveMicrovm,
  signal: AbortSignal,
): Promise<void> {
  if (live.vmm === null) await launch(deps, live, signal);
  if (live.vmm?.isGreeted === false) await greet(deps, live, live.vmm, signal);
  const { vmm } = live;
  if (vmm === null || hasEnded(live)) return;
  live.lastActivityAt = deps.clock.now();
  vmm.isOpen = true;
  await deps.microvms.transition(live.record.microvmId, {
    to: "RUNNING",
    fence: vmm.vmmId,
    patch: { suspendedAt: null, stateReason: null },
  });
}

async function launch(deps: StepDeps, live: LiveMicrovm, signal: AbortSignal): Promise<void> {
  const vmmId = await mintVmmId(deps, live);
  const { microvmId } = live.record;
  try {
    const request = runRequestOf(live, vmmId);
    const running = await deps.permits.launch.run(() => deps.host.resume(request, signal), signal);
    if (!hasEnded(live)) live.vmm = newLiveVmm(running);
  } catch (error) {
    if (signal.aborted) throw error;
    deps.log.warn("Cannot resume microvm", { microvmId, vmmId, error });
    if (tookAllWithIt(error)) {
      giveUp(live, reasonOf(error));
    } else {
      // The VMM may have been reported gone; that the guest never ran is what counts.
      live.ended = null;
      await staySuspended(deps, live, reasonOf(error), error);
    }
  }
}

async function greet(
  deps: StepDeps,
  live: LiveMicrovm,
  vmm: LiveVmm,
  signal: AbortSignal,
): Promise<void> {
  const settings = await hookOf(deps, live, "resume");
  if (settings === undefined) {
    vmm.isGreeted = true;
    return;
  }
  try {
    await callHook(deps, vmm, { hook: "resume", body: "", ...settings }, signal);
    vmm.isGreeted = true;
  } catch (error) {
    if (signal.aborted) throw error;
    const { microvmId, vmmId } = live.record;
    deps.log.warn("The resume hook failed", { microvmId, vmmId, error });
    if (hasEnded(live)) return;
    const reason = hookFailureReason("resume", settings.timeoutMs, error);
    await putBack(deps, live, vmm, { reason, cause: error }, signal);
  }
}

/** The guest has run, so its old saved state is void: it is suspended again to keep its memory. */
async function putBack(
  deps: StepDeps,
  live: LiveMicrovm,
  vmm: LiveVmm,
  failure: { readonly reason: string; readonly cause: unknown },
  signal: AbortSignal,
): Promise<void> {
  try {
    await deps.permits.suspend.run(() => deps.host.suspend(vmm.vmmId, signal), signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const { microvmId, vmmId } = live.record;
    deps.log.warn("Cannot suspend microvm after its resume hook", { microvmId, vmmId, error });
    giveUp(live, failure.reason);
    dropVmm(live);
    return;
  }
  dropVmm(live);
  await staySuspended(deps, live, failure.reason, failure.cause);
}

async function staySuspended(
  deps: StepDeps,
  live: LiveMicrovm,
  reason: string,
  cause: unknown,
): Promise<void> {
  const { microvmId } = live.record;
  // Before the write: the record that says "stay suspended" would make these waiters ask for the next wake-up at once.
  deps.traffic.failed(
    microvmId,
    new ServiceError("VMM_FAILED", `Cannot wake microvm "${microvmId}": ${reason}`, { cause }),
  );
  await deps.microvms.amend(microvmId, ({ desired }) => ({
    vmmId: null,
    stateReason: reason,
    ...(desired === "RUNNING" && { desired: "SUSPENDED" }),
  }));
}
