// One executor for every step of the plan.

import { traced } from "../lib/trace.ts";
import type { LiveMicrovm } from "../microvms/live.ts";
import type { Step } from "./plan.ts";
import { resumeMicrovm } from "./resume-step.ts";
import { runMicrovm } from "./run-step.ts";
import type { StepDeps } from "./step-context.ts";
import { suspendMicrovm } from "./suspend-step.ts";
import { terminateMicrovm } from "./terminate-step.ts";

/**
 * Carries out one step. A failure that has a name is dealt with and is no rejection: the next plan sees what came of it.
 * Rejects with the signal's reason, or with what trying again later may mend.
 */
export function executeStep(
  deps: StepDeps,
  live: LiveMicrovm,
  step: Step,
  signal: AbortSignal,
): Promise<void> {
  const { microvmId } = live.record;
  const attributes = { "torpor.microvm.id": microvmId };
  return traced(deps, `step ${step.do}`, () => carryOut(deps, live, step, signal), { attributes });
}

function carryOut(
  deps: StepDeps,
  live: LiveMicrovm,
  step: Step,
  signal: AbortSignal,
): Promise<void> {
  switch (step.do) {
    case "run":
      return runMicrovm(deps, live, signal);
    case "suspend":
      return suspendMicrovm(deps, live, signal);
    case "resume":
      return resumeMicrovm(deps, live, signal);
    case "terminate":
      return terminateMicrovm(deps, live, step.reason, signal);
    default:
      return step satisfies never;
  }
}
