// Drives every live microVM towards what is wanted of it.
//
// INVARIANTS
// - At most one step of a microVM is in progress, and every step is planned from the record as last written.
// - A wake-up during a step is not lost: the microVM is planned again when the step ends.
// - A microVM has at most one timer, and none while it is driven.
// - A step that fails without having dealt with it is tried again, later and later, until it succeeds.
// - Only a wish to terminate, or the end of the service, interrupts a step. Suspends and terminates under way when the
//   service ends get `STOP_GRACE_MS` to finish.

import type { Host, VmmEnded } from "../host/host.ts";
import { pause } from "../lib/clock.ts";
import { dropVmm, type LiveMicrovm, type LiveMicrovms } from "../microvms/live.ts";
import { nextDeadline, type Observed, planSteps, type Step } from "./plan.ts";
import { createPermits } from "./permits.ts";
import { giveUp, hasEnded, type StepDeps } from "./step-context.ts";
import { executeStep } from "./steps.ts";

export const MAX_CONCURRENT_LAUNCHES = 4;
export const MAX_CONCURRENT_SUSPENDS = 4;
export const MAX_CONCURRENT_TERMINATES = 8;

/** Longer than any suspend of a usual guest; the supervisor's stop time-out must be longer still. */
export const STOP_GRACE_MS = 10_000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;
/** Timers are set no further ahead, so that a jump of the machine's clock is noticed. */
const LONGEST_TIMER_MS = 3_600_000;

export interface SchedulerDeps extends Omit<StepDeps, "permits" | "host"> {
  readonly host: StepDeps["host"] & Pick<Host, "ended">;
  readonly live: LiveMicrovms;
}

interface Runner {
  readonly microvmId: string;
  /** The drive in progress. */
  drive: Promise<void> | null;
  isWoken: boolean;
  step: { readonly does: Step["do"]; readonly cancel: AbortController } | null;
  timer: { readonly at: number; readonly handle: Disposable } | null;
  failures: number;
}

/** The scheduler loop. Disposing it leaves VMMs running, for the next service to adopt. */
export class Scheduler implements AsyncDisposable {
  readonly #deps: SchedulerDeps;
  readonly #stepDeps: StepDeps;
  readonly #runners = new Map<string, Runner>();
  /** The service ends: nothing new, launches are given up. */
  readonly #stopping = new AbortController();
  /** The grace is over: everything is given up. */
  readonly #stopped = new AbortController();
  #watch: Promise<void> = Promise.resolve();

  constructor(deps: SchedulerDeps) {
    this.#deps = deps;
    const permits = {
      launch: createPermits(MAX_CONCURRENT_LAUNCHES),
      suspend: createPermits(MAX_CONCURRENT_SUSPENDS),
      terminate: createPermits(MAX_CONCURRENT_TERMINATES),
    };
    this.#stepDeps = { ...deps, permits };
  }

  /** Takes up every live microVM and listens to the host. Once, after recovery. */
  start(): void {
    this.#watch = this.#watchEnds();
    for (const { record } of this.#deps.live.values()) this.wake(record.microvmId);
  }

  /** Something about the microVM changed: plans it again, soon. */
  wake(microvmId: string): void {
    const live = this.#deps.live.get(microvmId);
    if (live === undefined || this.#stopping.signal.aborted) return;
    const runner = this.#runnerOf(microvmId);
    runner.isWoken = true;
    if (live.record.desired === "TERMINATED" && runner.step?.does !== "terminate")
      runner.step?.cancel.abort(new DOMException("The microVM is terminated", "AbortError"));
    runner.drive ??= this.#drive(runner);
  }

  /** A deadline of the microVM may have come nearer. Cheap enough for every request. */
  rearm(microvmId: string): void {
    const runner = this.#runners.get(microvmId);
    const live = this.#deps.live.get(microvmId);
    if (runner === undefined || live === undefined || runner.drive !== null) return;
    this.#arm(runner, nextDeadline(live.record, observe(live)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new DOMException("The service is stopping", "AbortError"));
    for (const runner of this.#runners.values()) disarm(runner);
    const drives = Promise.all([...this.#runners.values()].flatMap(({ drive }) => drive ?? []));
    const done = new AbortController();
    await Promise.race([drives, pause(this.#deps.clock, STOP_GRACE_MS, done.signal)]);
    done.abort();
    this.#stopped.abort(this.#stopping.signal.reason);
    await drives;
    await this.#watch;
  }

  #runnerOf(microvmId: string): Runner {
    const known = this.#runners.get(microvmId);
    if (known !== undefined) return known;
    const runner: Runner = {
      microvmId,
      drive: null,
      isWoken: false,
      step: null,
      timer: null,
      failures: 0,
    };
    this.#runners.set(microvmId, runner);
    return runner;
  }

  async #drive(runner: Runner): Promise<void> {
    disarm(runner);
    // The caller is told that a drive is in progress before it is.
    await Promise.resolve();
    let retryAt: number | null = null;
    try {
      while (runner.isWoken && !this.#stopping.signal.aborted) {
        runner.isWoken = false;
        await this.#advance(runner);
      }
      runner.failures = 0;
    } catch (error) {
      const { microvmId } = runner;
      this.#deps.log.error("A step failed and will be tried again", { microvmId, error });
      retryAt = this.#deps.clock.now() + retryDelayMs(runner.failures);
      runner.failures += 1;
    }
    runner.drive = null;
    const live = this.#deps.live.get(runner.microvmId);
    if (live === undefined) this.#runners.delete(runner.microvmId);
    else this.#arm(runner, retryAt ?? nextDeadline(live.record, observe(live)));
  }

  async #advance(runner: Runner): Promise<void> {
    const live = this.#deps.live.get(runner.microvmId);
    if (live === undefined) return;
    const steps = planSteps(live.record, observe(live), this.#deps.clock.now());
    for (const step of steps) await this.#execute(runner, live, step);
    // A step may have changed what is observed without a write that wakes.
    if (steps.length > 0) runner.isWoken = true;
  }

  async #execute(runner: Runner, live: LiveMicrovm, step: Step): Promise<void> {
    const cancel = new AbortController();
    const mayFinish = step.do === "suspend" || step.do === "terminate";
    const end = mayFinish ? this.#stopped.signal : this.#stopping.signal;
    const signal = AbortSignal.any([cancel.signal, end]);
    runner.step = { does: step.do, cancel };
    try {
      await executeStep(this.#stepDeps, live, step, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      runner.step = null;
    }
  }

  #arm(runner: Runner, at: number): void {
    if (at === Infinity || this.#stopping.signal.aborted) return;
    if (runner.timer !== null && runner.timer.at <= at) return;
    disarm(runner);
    const { clock } = this.#deps;
    const delayMs = Math.min(Math.max(at - clock.now(), 0), LONGEST_TIMER_MS);
    const handle = clock.setTimer(delayMs, () => {
      runner.timer = null;
      this.wake(runner.microvmId);
    });
    runner.timer = { at, handle };
  }

  async #watchEnds(): Promise<void> {
    try {
      for await (const end of this.#deps.host.ended(this.#stopping.signal)) this.#onEnded(end);
    } catch (error) {
      this.#deps.log.error("Cannot learn of VMMs that end", { error });
    }
  }

  #onEnded({ microvmId, vmmId, reason }: VmmEnded): void {
    const live = this.#deps.live.get(microvmId);
    // A late word of an earlier VMM, or of one whose state is safe.
    if (live === undefined || live.record.vmmId !== vmmId || live.isSaved) return;
    this.#deps.log.warn("A VMM ended unasked", { microvmId, vmmId, reason });
    giveUp(live, reason);
    dropVmm(live);
    this.wake(microvmId);
  }
}

function observe(live: LiveMicrovm): Observed {
  return {
    endedReason: hasEnded(live) ? (live.ended?.reason ?? null) : null,
    hasVmm: live.vmm !== null,
    isBusy: live.vmm !== null && live.vmm.leases > 0,
    lastActivityAt: live.lastActivityAt,
  };
}

function disarm(runner: Runner): void {
  runner.timer?.handle[Symbol.dispose]();
  runner.timer = null;
}

function retryDelayMs(failures: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** failures, LONGEST_RETRY_MS);
}
