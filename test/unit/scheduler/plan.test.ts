import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { IdlePolicy, MicrovmRecord } from "../../../src/microvms/records.ts";
import {
  nextDeadline,
  type Observed,
  planSteps,
  REASON_EXPIRED,
  REASON_REQUESTED,
  REASON_SUSPENDED_EXPIRED,
} from "../../../src/scheduler/plan.ts";
import { someMicrovm } from "../../fixtures/domain-records.ts";

const START = 1_800_000_000_000;
const calm: Observed = {
  endedReason: null,
  hasVmm: true,
  isBusy: false,
  lastActivityAt: START,
};
const policy: IdlePolicy = {
  maxIdleDurationSeconds: 60,
  suspendedDurationSeconds: 300,
  autoResumeEnabled: true,
};
const at = (changes: Partial<MicrovmRecord>) => someMicrovm({ startedAt: START, ...changes });
const plan = (changes: Partial<MicrovmRecord>, observed: Partial<Observed> = {}, afterMs = 0) =>
  planSteps(at(changes), { ...calm, ...observed }, START + afterMs);
const terminate = (reason: string) => [{ do: "terminate", reason }];

describe("planSteps", () => {
  test("runs a microvm that is PENDING, even when its suspend is already wanted", () => {
    assert.deepEqual(plan({ state: "PENDING" }), [{ do: "run" }]);
    assert.deepEqual(plan({ state: "PENDING", desired: "SUSPENDED" }), [{ do: "run" }]);
  });

  test("leaves a running microvm without policy alone until its lifetime is over", () => {
    assert.deepEqual(plan({ state: "RUNNING" }, {}, 28_799_999), []);
    assert.deepEqual(plan({ state: "RUNNING" }, {}, 28_800_000), terminate(REASON_EXPIRED));
  });

  test("counts suspended time towards the lifetime", () => {
    const suspended = { state: "SUSPENDED", desired: "SUSPENDED", suspendedAt: START } as const;
    assert.deepEqual(plan(suspended, {}, 28_799_999), [{ do: "resume" }]);
    assert.deepEqual(plan(suspended, { hasVmm: false }, 28_799_999), []);
    assert.deepEqual(plan(suspended, { hasVmm: false }, 28_800_000), terminate(REASON_EXPIRED));
  });

  test("suspends a microvm idle past its policy, but not one with requests in progress", () => {
    const idle = { state: "RUNNING", idlePolicy: policy } as const;
    assert.deepEqual(plan(idle, {}, 59_999), []);
    assert.deepEqual(plan(idle, {}, 60_000), [{ do: "suspend", why: "idle" }]);
    assert.deepEqual(plan(idle, { isBusy: true }, 3_600_000), []);
    assert.deepEqual(plan(idle, { lastActivityAt: START + 10_000 }, 60_000), []);
  });

  test("suspends a microvm on request whether it is busy or not", () => {
    const asked = { state: "RUNNING", desired: "SUSPENDED" } as const;
    assert.deepEqual(plan(asked, { isBusy: true }), [{ do: "suspend", why: "requested" }]);
  });

  test("terminates instead of suspending when the policy keeps suspended microvms for no time", () => {
    const idlePolicy = { ...policy, suspendedDurationSeconds: 0 };
    const expected = terminate(REASON_SUSPENDED_EXPIRED);
    assert.deepEqual(plan({ state: "RUNNING", idlePolicy }, {}, 60_000), expected);
    assert.deepEqual(plan({ state: "RUNNING", idlePolicy, desired: "SUSPENDED" }), expected);
  });

  test("finishes a suspend that began, whatever is wanted since", () => {
    const step = [{ do: "suspend", why: "requested" }];
    assert.deepEqual(plan({ state: "SUSPENDING", desired: "SUSPENDED" }), step);
    assert.deepEqual(plan({ state: "SUSPENDING", desired: "RUNNING" }), step);
  });

  test("wakes a suspended microvm that is wanted, and finishes a wake-up that is not any more", () => {
    const suspended = { state: "SUSPENDED", suspendedAt: START } as const;
    assert.deepEqual(plan(suspended, { hasVmm: false }), [{ do: "resume" }]);
    assert.deepEqual(plan({ ...suspended, desired: "SUSPENDED" }, { hasVmm: true }), [
      { do: "resume" },
    ]);
  });

  test("terminates a microvm suspended for longer than its policy keeps it, unless it is being woken", () => {
    const suspended = {
      state: "SUSPENDED",
      desired: "SUSPENDED",
      idlePolicy: policy,
      suspendedAt: START,
    } as const;
    const asleep = { hasVmm: false };
    assert.deepEqual(plan(suspended, asleep, 299_999), []);
    assert.deepEqual(plan(suspended, asleep, 300_000), terminate(REASON_SUSPENDED_EXPIRED));
    assert.deepEqual(plan({ ...suspended, desired: "RUNNING" }, asleep, 300_000), [
      { do: "resume" },
    ]);
    assert.deepEqual(plan({ ...suspended, idlePolicy: null }, asleep, 3_600_000), []);
  });

  test("terminates on request from every live state, with the reason that is recorded", () => {
    for (const state of ["PENDING", "RUNNING", "SUSPENDING", "SUSPENDED", "TERMINATING"] as const) {
      const asked = { state, desired: "TERMINATED" } as const;
      assert.deepEqual(plan(asked), terminate(REASON_REQUESTED));
      assert.deepEqual(plan({ ...asked, stateReason: "why" }), terminate("why"));
    }
    assert.deepEqual(plan({ state: "TERMINATED", desired: "TERMINATED" }), []);
  });

  test("terminates a microvm whose vmm is gone, for that reason", () => {
    for (const state of ["PENDING", "RUNNING", "SUSPENDING", "SUSPENDED"] as const)
      assert.deepEqual(plan({ state }, { endedReason: "it died" }), terminate("it died"));
  });
});

describe("nextDeadline", () => {
  const next = (changes: Partial<MicrovmRecord>, observed: Partial<Observed> = {}) =>
    nextDeadline(at(changes), { ...calm, ...observed }) - START;

  test("is the end of the lifetime when nothing else can happen by itself", () => {
    assert.equal(next({ state: "RUNNING", maximumDurationInSeconds: 100 }), 100_000);
    const idle = { state: "RUNNING", maximumDurationInSeconds: 100, idlePolicy: policy } as const;
    assert.equal(next(idle, { isBusy: true }), 100_000);
  });

  test("is the idle time of a running and the kept time of a suspended microvm", () => {
    assert.equal(next({ state: "RUNNING", idlePolicy: policy }), 60_000);
    const suspended = { state: "SUSPENDED", idlePolicy: policy, suspendedAt: START + 5 } as const;
    assert.equal(next(suspended), 300_005);
  });

  test("is never before the moment that planSteps acts on it", () => {
    const records: Partial<MicrovmRecord>[] = [
      { state: "RUNNING", idlePolicy: policy },
      { state: "RUNNING" },
      { state: "SUSPENDED", desired: "SUSPENDED", idlePolicy: policy, suspendedAt: START },
    ];
    for (const changes of records) {
      const observed = { hasVmm: changes.state === "RUNNING" };
      const deadline = next(changes, observed);
      assert.deepEqual(plan(changes, observed, deadline - 1), []);
      assert.equal(plan(changes, observed, deadline).length, 1);
    }
  });

  test("is never for a terminated microvm", () => {
    assert.equal(next({ state: "TERMINATED" }), Infinity);
  });
});
