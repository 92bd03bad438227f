// What a service finds when it starts again, and what it makes of it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import { REASON_STATE_LOST, REASON_VMM_LOST } from "../../../src/scheduler/reclaim.ts";
import { SCOPE, SIZES, someFurtherVersion, someImage } from "../../fixtures/domain-records.ts";
import { ALL_HOOKS, APP, eventually, POLICY, settle, setUp } from "./harness.ts";

describe("a restarted service", () => {
  test("adopts running microvms and serves them at once, calling no hook again", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.running();
    const before = await it.record(microvmId);
    await it.restart();
    assert.deepEqual(await it.record(microvmId), before);
    using lease = await it.open(microvmId);
    assert.equal(lease.waitedMs, 0);
    assert.equal(it.host.count("run"), 1);
    assert.equal(it.host.count("callHook"), 1);
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await it.reaches(microvmId, "SUSPENDED");
  });

  test("terminates a running microvm whose vmm is gone, saying when that was", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    await it.restart(() => it.host.killSilently(microvmId));
    await it.reaches(microvmId, "TERMINATED");
    assert.equal((await it.record(microvmId)).stateReason, REASON_VMM_LOST);
  });

  test("starts a PENDING microvm again with another vmm", async () => {
    await using it = await setUp();
    it.host.hold("run");
    const microvmId = await it.run();
    await eventually(() => it.host.count("run") === 1);
    await it.stop();
    const before = await it.record(microvmId);
    assert.equal(before.state, "PENDING");
    await it.startAnew();
    await it.reaches(microvmId, "RUNNING");
    const after = await it.record(microvmId);
    assert.notEqual(after.vmmId, before.vmmId);
    assert.equal(it.host.running.get(microvmId)?.vmmId, after.vmmId);
  });

  test("resumes a suspended microvm, and terminates one whose state is gone", async () => {
    await using it = await setUp();
    const kept = await it.suspended({ idlePolicy: POLICY });
    const lost = await it.suspended({ idlePolicy: POLICY });
    await it.restart(() => it.host.loseSavedState(lost));
    (await it.open(kept))[Symbol.dispose]();
    assert.equal(await it.stateOf(kept), "RUNNING");
    await it.reaches(lost, "TERMINATED");
    assert.equal((await it.record(lost)).stateReason, REASON_STATE_LOST);
  });

  test("finishes a suspend whose state is complete on disk", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    const { vmmId } = await it.record(microvmId);
    await it.restart(async () => {
      await it.store.microvms.transition(microvmId, {
        to: "SUSPENDING",
        patch: { desired: "SUSPENDED" },
      });
      await it.host.suspend(vmmId ?? "", new AbortController().signal);
    });
    await it.reaches(microvmId, "SUSPENDED");
    assert.equal(it.host.count("suspend"), 1);
    assert.equal((await it.record(microvmId)).vmmId, null);
  });

  test("suspends again what it finds running in SUSPENDING", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    await it.restart(async () => {
      await it.store.microvms.transition(microvmId, {
        to: "SUSPENDING",
        patch: { desired: "SUSPENDED" },
      });
    });
    await it.reaches(microvmId, "SUSPENDED");
    assert.ok(it.host.saved.has(microvmId));
  });

  test("finishes a wake-up that was under way, hook included", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const microvmId = await it.suspended();
    it.host.hold("callHook");
    await it.domain.microvms.resume(SCOPE, microvmId);
    await eventually(() => it.host.count("callHook") === 3);
    await it.restart();
    await it.reaches(microvmId, "RUNNING");
    assert.equal(it.host.count("resume"), 1);
    assert.equal(it.host.hooks.at(-1)?.hook, "resume");
  });

  test("wakes with another vmm when the one of an interrupted wake-up is gone", async () => {
    await using it = await setUp();
    const microvmId = await it.suspended();
    it.host.hold("resume");
    await it.domain.microvms.resume(SCOPE, microvmId);
    await eventually(() => it.host.count("resume") === 1);
    await it.stop();
    const before = await it.record(microvmId);
    assert.notEqual(before.vmmId, null);
    await it.startAnew();
    await it.reaches(microvmId, "RUNNING");
    assert.notEqual((await it.record(microvmId)).vmmId, before.vmmId);
  });

  test("finishes a terminate", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    it.host.failNext("terminate", new ServiceError("VMM_FAILED", "not yet"));
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await eventually(() => it.host.count("terminate") === 1);
    await it.restart();
    await it.reaches(microvmId, "TERMINATED");
    assert.equal((await it.record(microvmId)).stateReason, "Success.");
    assert.equal(it.host.running.size, 0);
  });

  test("has the host remove what belongs to no live microvm", async () => {
    await using it = await setUp();
    const never = new AbortController().signal;
    const stray = { imageRef: "a/b/c/1.0", egress: { internet: false } };
    await it.restart(async () => {
      await it.host.run({ microvmId: "microvm-x", vmmId: "x", ...stray }, never);
      await it.host.run({ microvmId: "microvm-y", vmmId: "y", ...stray }, never);
      await it.host.suspend("y", never);
    });
    assert.equal(it.host.running.size + it.host.saved.size, 0);
  });

  test("applies deadlines that passed while it was down", async () => {
    await using it = await setUp();
    const old = await it.running({ maximumDurationInSeconds: 100 });
    const asleep = await it.suspended({ idlePolicy: POLICY });
    const idle = await it.running({ idlePolicy: POLICY });
    await it.restart(() => it.clock.advance(300_000));
    await it.reaches(old, "TERMINATED");
    await it.reaches(asleep, "TERMINATED");
    // Whether it had traffic meanwhile nobody knows: its idle time starts over.
    await settle();
    assert.equal(await it.stateOf(idle), "RUNNING");
    it.clock.advance(60_000);
    await it.reaches(idle, "SUSPENDED");
  });

  test("leaves vmms running when it stops, and lets a suspend finish", async () => {
    await using it = await setUp();
    const running = await it.running();
    const leaving = await it.running();
    const release = it.host.hold("suspend");
    await it.domain.microvms.suspend(SCOPE, leaving);
    await it.reaches(leaving, "SUSPENDING");
    const stopped = it.stop();
    await settle();
    release();
    await stopped;
    assert.equal(await it.stateOf(leaving), "SUSPENDED");
    assert.ok(it.host.running.has(running));
    assert.equal(it.clock.pendingTimers(), 0);
    await it.startAnew();
  });
});

describe("a store that cannot write", () => {
  test("keeps a saved state until it can be recorded, and never saves twice", async () => {
    let isFull = false;
    await using it = await setUp({
      wrap: (store) => ({
        ...store,
        microvms: {
          ...store.microvms,
          async transition(microvmId, move) {
            if (isFull && move.to === "SUSPENDED")
              throw new ServiceError("STORAGE_FULL", "The disk is full");
            return store.microvms.transition(microvmId, move);
          },
        },
      }),
    });
    const microvmId = await it.running();
    isFull = true;
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await eventually(() => it.host.saved.has(microvmId));
    await settle();
    assert.equal(await it.stateOf(microvmId), "SUSPENDING");
    isFull = false;
    it.clock.advance(1000);
    await it.reaches(microvmId, "SUSPENDED");
    assert.equal(it.host.count("suspend"), 1);
  });

  test("does not keep requests from a microvm that cannot be suspended for it", async () => {
    let isFull = false;
    await using it = await setUp({
      wrap: (store) => ({
        ...store,
        microvms: {
          ...store.microvms,
          async transition(microvmId, move) {
            if (isFull) throw new ServiceError("STORAGE_FULL", "The disk is full");
            return store.microvms.transition(microvmId, move);
          },
        },
      }),
    });
    const microvmId = await it.running({ idlePolicy: POLICY });
    await settle();
    isFull = true;
    it.clock.advance(60_000);
    await settle();
    assert.equal(await it.stateOf(microvmId), "RUNNING");
    (await it.open(microvmId))[Symbol.dispose]();
    isFull = false;
    it.clock.advance(61_000);
    await it.reaches(microvmId, "SUSPENDED");
  });

  test("does not launch twice, nor call the run hook twice", async () => {
    let failures = 1;
    await using it = await setUp({
      hooks: ALL_HOOKS,
      wrap: (store) => ({
        ...store,
        microvms: {
          ...store.microvms,
          async transition(microvmId, move) {
            if (failures-- > 0) throw new ServiceError("STORAGE_FULL", "The disk is full");
            return store.microvms.transition(microvmId, move);
          },
        },
      }),
    });
    const microvmId = await it.run();
    await eventually(() => failures <= 0);
    await settle();
    assert.equal(await it.stateOf(microvmId), "PENDING");
    it.clock.advance(1000);
    await it.reaches(microvmId, "RUNNING");
    assert.equal(it.host.count("run"), 1);
    assert.equal(it.host.count("callHook"), 1);
  });
});

describe("builds across restarts", () => {
  test("an interrupted build starts over and a queued one is not forgotten", async () => {
    await using it = await setUp();
    it.host.hold("build");
    const { image } = await it.store.images.create(someImage("late"), null);
    await it.restart();
    await eventually(() => it.host.count("build") === 1);
    const version = () => it.store.images.getVersion(SCOPE, image.name, "1.0");
    assert.equal((await version())?.state, "IN_PROGRESS");
    await it.restart(async () => assert.equal((await version())?.state, "PENDING"));
    await eventually(async () => (await version())?.state === "SUCCESSFUL");
    assert.equal((await version())?.buildAttempts, 1, "a stop in good order does not count");
    assert.equal(it.host.count("build"), 2);
  });

  test("a build that keeps ending the service is given up", async () => {
    await using it = await setUp();
    const { version } = await it.store.images.create(someImage("bad"), null);
    await it.restart(async () => {
      for (let crash = 1; crash <= 3; crash += 1) {
        await it.store.images.startBuild(version.buildId, crash);
        if (crash < 3) await it.store.images.requeueBuild(version.buildId, crash, false);
      }
    });
    const failed = await it.store.images.getVersion(SCOPE, "bad", "1.0");
    assert.equal(failed?.state, "FAILED");
    assert.match(failed.stateReason ?? "", /interrupted/);
    assert.equal(it.host.count("build"), 0);
  });

  test("a removal that was under way is finished", async () => {
    await using it = await setUp();
    await it.restart(() => it.store.images.beginDelete(SCOPE, "app", 1).then(() => undefined));
    await eventually(async () => (await it.store.images.get(SCOPE, "app")) === undefined);
    assert.equal(it.host.count("removeImage"), 1);
  });

  test("the removal of a version is finished, and one that fails can be asked for again", async () => {
    await using it = await setUp();
    const { version } = await it.store.images.update(someFurtherVersion(), null);
    await it.store.images.startBuild(version.buildId, 1);
    await it.store.images.finishBuild(version.buildId, { succeeded: true, sizes: SIZES }, 2);
    await it.restart(async () => {
      await it.store.images.beginDeleteVersion(SCOPE, "app", "1.0", 3);
    });
    const versions = async () =>
      (await it.store.images.listVersions(SCOPE, "app")).map(({ state }) => state);
    await eventually(async () => (await versions()).length === 1);
    assert.equal((await it.store.images.get(SCOPE, "app"))?.state, "UPDATED");

    const next = await it.store.images.update(someFurtherVersion(), null);
    await it.store.images.startBuild(next.version.buildId, 4);
    await it.store.images.finishBuild(next.version.buildId, { succeeded: true, sizes: SIZES }, 5);
    it.host.failNext("removeImage", new Error("no"));
    await it.domain.images.deleteVersion(SCOPE, APP, "2");
    await eventually(async () => (await versions()).includes("DELETE_FAILED"));
    await it.domain.images.deleteVersion(SCOPE, APP, "2");
    await eventually(async () => (await versions()).length === 1);
  });
});
