// The life of a microVM from run to terminate, driven through the operations.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import { MAX_CONCURRENT_LAUNCHES } from "../../../src/scheduler/loop.ts";
import { SCOPE } from "../../fixtures/domain-records.ts";
import { ALL_HOOKS, eventually, POLICY, settle, setUp } from "./harness.ts";

const hookFailure = (status: number) =>
  new ServiceError("HOOK_FAILED", "The hook failed", { details: { status } });

describe("run", () => {
  test("starts a vmm under the id that was stored before and calls the run hook", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.running({ runHookPayload: "hello" });
    const record = await it.record(microvmId);
    assert.equal(it.host.running.get(microvmId)?.vmmId, record.vmmId);
    assert.equal(record.runHookPayload, null);
    assert.equal(record.stateReason, null);
    const [call] = it.host.hooks;
    assert.deepEqual(call, {
      vmmId: record.vmmId,
      hook: "run",
      port: 9000,
      timeoutMs: 2000,
      body: JSON.stringify({ microvmId, runHookPayload: "hello" }),
    });
  });

  test("keeps traffic waiting until the run hook has answered", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const answer = it.host.hold("callHook");
    const microvmId = await it.run();
    await eventually(() => it.host.count("callHook") === 1);
    let hasLease = false;
    const waiting = it.open(microvmId).then((lease) => {
      hasLease = true;
      lease[Symbol.dispose]();
    });
    await settle();
    assert.equal(hasLease, false);
    assert.equal(await it.stateOf(microvmId), "PENDING");
    answer();
    await waiting;
    assert.equal(await it.stateOf(microvmId), "RUNNING");
  });

  test("terminates a microvm whose run hook fails, and says why", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    it.host.failNext("callHook", hookFailure(500));
    const microvmId = await it.run();
    const waiting = assert.rejects(it.open(microvmId), { code: "NOT_FOUND" });
    await it.reaches(microvmId, "TERMINATED");
    await waiting;
    assert.equal(
      (await it.record(microvmId)).stateReason,
      "Run lifecycle hook returned HTTP status 500. Please check your hook endpoint and application logs for more details.",
    );
    assert.equal(it.host.running.size, 0);
    // The guest was never in service, so it is not told goodbye.
    assert.deepEqual(it.host.calls.filter(({ call }) => call === "callHook").length, 1);
  });

  test("terminates a microvm whose vmm cannot be started, and says why", async () => {
    await using it = await setUp();
    it.host.failNext("run", new ServiceError("NO_CAPACITY", "No network slot is free"));
    const microvmId = await it.run();
    await it.reaches(microvmId, "TERMINATED");
    const { stateReason, terminatedAt, vmmId } = await it.record(microvmId);
    assert.equal(stateReason, "No network slot is free");
    assert.equal(terminatedAt, it.clock.now());
    assert.equal(vmmId, null);
  });

  test("bounds the launches at once, and all get their turn", async () => {
    await using it = await setUp();
    const releases = Array.from({ length: 12 }, () => it.host.hold("run"));
    const ids = await Promise.all(releases.map(() => it.run()));
    await eventually(() => it.host.count("run") === MAX_CONCURRENT_LAUNCHES);
    await settle();
    assert.equal(it.host.count("run"), MAX_CONCURRENT_LAUNCHES);
    for (const release of releases) release();
    for (const microvmId of ids) await it.reaches(microvmId, "RUNNING");
    assert.equal(it.host.peak("run"), MAX_CONCURRENT_LAUNCHES);
    assert.equal(new Set([...it.host.running.values()].map(({ address }) => address)).size, 12);
  });
});

describe("suspend and resume", () => {
  test("suspend calls the hook, saves the state and ends the vmm", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.suspended();
    const record = await it.record(microvmId);
    assert.equal(record.vmmId, null);
    assert.equal(record.suspendedAt, it.clock.now());
    assert.equal(it.host.running.size, 0);
    assert.ok(it.host.saved.has(microvmId));
    assert.deepEqual(
      it.host.hooks.map(({ hook, body }) => [hook, body === ""]),
      [
        ["run", false],
        ["suspend", true],
      ],
    );
  });

  test("resume starts a vmm with an id of its own, calls the hook, and keeps the identity", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.running();
    const before = await it.record(microvmId);
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await it.reaches(microvmId, "SUSPENDED");
    const answer = it.host.hold("callHook");
    await it.domain.microvms.resume(SCOPE, microvmId);
    await eventually(() => it.host.running.has(microvmId));
    await settle();
    assert.equal(await it.stateOf(microvmId), "SUSPENDED");
    answer();
    await it.reaches(microvmId, "RUNNING");
    const after = await it.record(microvmId);
    assert.notEqual(after.vmmId, before.vmmId);
    assert.deepEqual({ ...after, vmmId: before.vmmId }, before);
    assert.equal(it.host.hooks.at(-1)?.hook, "resume");
  });

  test("a failing suspend hook leaves the microvm running, with the reason to be seen", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.running();
    it.host.failNext("callHook", hookFailure(503));
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await eventually(async () => (await it.record(microvmId)).stateReason !== null);
    const record = await it.record(microvmId);
    assert.equal(record.state, "RUNNING");
    assert.equal(record.desired, "RUNNING");
    assert.match(record.stateReason ?? "", /^Suspend lifecycle hook returned HTTP status 503\./);
    assert.equal(it.host.count("suspend"), 0);
    (await it.open(microvmId))[Symbol.dispose]();
    // Only its own end is why a microvm ended.
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await it.reaches(microvmId, "TERMINATED");
    assert.equal((await it.record(microvmId)).stateReason, "Success.");
  });

  test("a suspend that fails for want of disk leaves the microvm running and serves who waited", async () => {
    await using it = await setUp();
    const microvmId = await it.running({ idlePolicy: POLICY });
    const release = it.host.hold("suspend");
    it.host.failNext("suspend", new ServiceError("STORAGE_FULL", "The disk is full"));
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await it.reaches(microvmId, "SUSPENDING");
    const waiting = it.open(microvmId);
    release();
    (await waiting)[Symbol.dispose]();
    const record = await it.record(microvmId);
    assert.equal(record.state, "RUNNING");
    assert.equal(record.stateReason, "The disk is full");
  });

  test("a suspend that takes the vmm with it terminates the microvm", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    const details = { ended: true };
    it.host.failNext("suspend", new ServiceError("VMM_FAILED", "The vmm is gone", { details }));
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await it.reaches(microvmId, "TERMINATED");
    assert.equal((await it.record(microvmId)).stateReason, "The vmm is gone");
  });

  test("a failed resume keeps the saved state, and the next one works", async () => {
    await using it = await setUp();
    const microvmId = await it.suspended({ idlePolicy: POLICY });
    const details = { ended: false };
    it.host.failNext("resume", new ServiceError("VMM_FAILED", "It did not load", { details }));
    await assert.rejects(it.open(microvmId), { code: "VMM_FAILED" });
    await eventually(async () => (await it.record(microvmId)).desired === "SUSPENDED");
    const record = await it.record(microvmId);
    assert.equal(record.state, "SUSPENDED");
    assert.equal(record.vmmId, null);
    assert.equal(record.stateReason, "It did not load");
    assert.equal(it.host.count("resume"), 1);
    (await it.open(microvmId))[Symbol.dispose]();
    assert.equal((await it.record(microvmId)).stateReason, null);
  });

  test("a failed resume hook puts the microvm back to sleep with its memory", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.suspended({ idlePolicy: POLICY });
    it.host.failNext("callHook", hookFailure(500));
    await assert.rejects(it.open(microvmId), { code: "VMM_FAILED" });
    await eventually(async () => (await it.record(microvmId)).desired === "SUSPENDED");
    assert.equal(await it.stateOf(microvmId), "SUSPENDED");
    assert.ok(it.host.saved.has(microvmId));
    assert.equal(it.host.running.size, 0);
    (await it.open(microvmId))[Symbol.dispose]();
    assert.equal(await it.stateOf(microvmId), "RUNNING");
  });

  test("a resume that loses the saved state terminates the microvm", async () => {
    await using it = await setUp();
    const microvmId = await it.suspended({ idlePolicy: POLICY });
    it.host.loseSavedState(microvmId);
    await assert.rejects(it.open(microvmId), { code: "NOT_FOUND" });
    await it.reaches(microvmId, "TERMINATED");
    assert.equal((await it.record(microvmId)).stateReason, "No saved state");
  });

  test("a suspend asked for while PENDING happens once the microvm runs", async () => {
    await using it = await setUp();
    const release = it.host.hold("run");
    const microvmId = await it.run();
    await it.domain.microvms.suspend(SCOPE, microvmId);
    release();
    await it.reaches(microvmId, "SUSPENDED");
  });

  test("resume of a running microvm is a conflict, suspend of a suspended one nothing", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    await assert.rejects(it.domain.microvms.resume(SCOPE, microvmId), { code: "CONFLICT" });
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await it.reaches(microvmId, "SUSPENDED");
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await settle();
    assert.equal(it.host.count("suspend"), 1);
  });
});

describe("terminate", () => {
  test("calls the hook, removes everything and stays visible", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.running();
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await it.reaches(microvmId, "TERMINATED");
    const record = await it.domain.microvms.get(SCOPE, microvmId);
    assert.equal(record.stateReason, "Success.");
    assert.equal(record.terminatedAt, it.clock.now());
    assert.equal(it.host.hooks.at(-1)?.hook, "terminate");
    assert.equal(it.host.running.size, 0);
    assert.equal((await it.domain.traffic.findById(microvmId))?.state, "TERMINATED");
    assert.equal(it.clock.pendingTimers(), 1, "only the purge timer is left");
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await assert.rejects(it.domain.microvms.suspend(SCOPE, microvmId), {
      code: "VALIDATION_FAILED",
    });
  });

  test("goes on when its hook fails", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.running();
    it.host.failNext("callHook", hookFailure(500));
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await it.reaches(microvmId, "TERMINATED");
    assert.equal((await it.record(microvmId)).stateReason, "Success.");
  });

  test("ends a suspended microvm without waking it", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.suspended();
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await it.reaches(microvmId, "TERMINATED");
    assert.equal(it.host.count("resume"), 0);
    assert.equal(it.host.saved.size, 0);
  });

  test("interrupts a start, a suspend and a wake-up", async () => {
    await using it = await setUp();
    for (const call of ["run", "suspend", "resume"] as const) {
      const microvmId = await (call === "run" ? null : it.running({ idlePolicy: POLICY }));
      if (call === "resume" && microvmId !== null) {
        await it.domain.microvms.suspend(SCOPE, microvmId);
        await it.reaches(microvmId, "SUSPENDED");
      }
      const before = it.host.count(call);
      it.host.hold(call);
      const id = microvmId ?? (await it.run());
      if (call === "suspend") await it.domain.microvms.suspend(SCOPE, id);
      if (call === "resume") await it.domain.microvms.resume(SCOPE, id);
      await eventually(() => it.host.count(call) === before + 1);
      await it.domain.microvms.terminate(SCOPE, id);
      await it.reaches(id, "TERMINATED");
    }
    assert.equal(it.host.running.size + it.host.saved.size, 0);
  });

  test("does not say goodbye to a guest that was never in service", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    it.host.hold("callHook");
    const microvmId = await it.run();
    await eventually(() => it.host.count("callHook") === 1);
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await it.reaches(microvmId, "TERMINATED");
    assert.deepEqual(it.host.hooks, []);
    assert.equal(it.host.running.size, 0);
  });

  test("is repeated until the host has done it", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    it.host.failNext("terminate", new ServiceError("VMM_FAILED", "It does not end"));
    it.host.failNext("terminate", new TypeError("a bug"));
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await eventually(() => it.host.count("terminate") === 1);
    await settle();
    assert.equal(await it.stateOf(microvmId), "TERMINATING");
    it.clock.advance(1000);
    await eventually(() => it.host.count("terminate") === 2);
    await settle();
    it.clock.advance(1000);
    await settle();
    assert.equal(it.host.count("terminate"), 2, "the second retry waits longer");
    it.clock.advance(1000);
    await it.reaches(microvmId, "TERMINATED");
  });
});

describe("a vmm that ends unasked", () => {
  test("terminates its microvm with the reason and cuts its traffic", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    using lease = await it.open(microvmId);
    it.host.kill(microvmId, "The virtual machine was killed by SIGKILL");
    await it.reaches(microvmId, "TERMINATED");
    assert.equal(lease.signal.aborted, true);
    const { stateReason } = await it.record(microvmId);
    assert.equal(stateReason, "The virtual machine was killed by SIGKILL");
    await assert.rejects(it.open(microvmId), { code: "NOT_FOUND" });
  });

  test("ends a run hook that waits for it", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    it.host.hold("callHook");
    const microvmId = await it.run();
    await eventually(() => it.host.count("callHook") === 1);
    it.host.kill(microvmId, "The main process exited with 1");
    await it.reaches(microvmId, "TERMINATED");
    assert.equal((await it.record(microvmId)).stateReason, "The main process exited with 1");
  });

  test("does nothing when it is the word of an earlier vmm", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    const { vmmId } = await it.record(microvmId);
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await it.reaches(microvmId, "SUSPENDED");
    it.host.report({ microvmId, vmmId: vmmId ?? "", reason: "late" });
    await settle();
    assert.equal(await it.stateOf(microvmId), "SUSPENDED");
    await it.domain.microvms.resume(SCOPE, microvmId);
    await it.reaches(microvmId, "RUNNING");
    it.host.report({ microvmId, vmmId: vmmId ?? "", reason: "late" });
    it.host.report({ microvmId: "microvm-none", vmmId: "none", reason: "late" });
    await settle();
    assert.equal(await it.stateOf(microvmId), "RUNNING");
  });
});
