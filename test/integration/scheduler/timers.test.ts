// What time alone does: idle suspend, the kept time of suspended microVMs, lifetimes, retention.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PURGE_INTERVAL_MS } from "../../../src/scheduler/retention.ts";
import { SCOPE } from "../../fixtures/domain-records.ts";
import { eventually, POLICY, settle, setUp } from "./harness.ts";

describe("idle policy", () => {
  test("suspends a microvm without traffic and wakes it for the next request", async () => {
    await using it = await setUp();
    const microvmId = await it.running({ idlePolicy: POLICY });
    await settle();
    it.clock.advance(59_999);
    await settle();
    assert.equal(await it.stateOf(microvmId), "RUNNING");
    it.clock.advance(1);
    await it.reaches(microvmId, "SUSPENDED");
    const waiting = it.open(microvmId);
    using lease = await waiting;
    assert.equal(await it.stateOf(microvmId), "RUNNING");
    assert.equal(lease.address, it.host.running.get(microvmId)?.address);
  });

  test("counts from the last inbound byte, not from the first", async () => {
    await using it = await setUp();
    const microvmId = await it.running({ idlePolicy: POLICY });
    for (let request = 0; request < 5; request += 1) {
      it.clock.advance(40_000);
      await settle();
      (await it.open(microvmId))[Symbol.dispose]();
    }
    it.clock.advance(59_999);
    await settle();
    assert.equal(await it.stateOf(microvmId), "RUNNING");
    it.clock.advance(1);
    await it.reaches(microvmId, "SUSPENDED");
  });

  test("never suspends while a request is in progress, and does after it", async () => {
    await using it = await setUp();
    const microvmId = await it.running({ idlePolicy: POLICY });
    const lease = await it.open(microvmId);
    for (let minute = 0; minute < 10; minute += 1) {
      it.clock.advance(60_000);
      await settle();
    }
    assert.equal(await it.stateOf(microvmId), "RUNNING");
    assert.equal(it.host.count("suspend"), 0);
    lease[Symbol.dispose]();
    it.clock.advance(59_999);
    await settle();
    assert.equal(await it.stateOf(microvmId), "RUNNING");
    it.clock.advance(1);
    await it.reaches(microvmId, "SUSPENDED");
  });

  test("serves a request that comes during the suspend, after one wake-up", async () => {
    await using it = await setUp();
    const microvmId = await it.running({ idlePolicy: POLICY });
    await settle();
    const release = it.host.hold("suspend");
    it.clock.advance(60_000);
    await it.reaches(microvmId, "SUSPENDING");
    const waiting = Promise.all([it.open(microvmId), it.open(microvmId)]);
    await settle();
    release();
    for (const lease of await waiting) lease[Symbol.dispose]();
    assert.equal(it.host.count("resume"), 1);
    assert.equal(it.host.count("suspend"), 1);
    assert.equal(await it.stateOf(microvmId), "RUNNING");
  });

  test("leaves a microvm without policy running", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    await settle();
    it.clock.advance(7 * 3_600_000);
    await settle();
    assert.equal(await it.stateOf(microvmId), "RUNNING");
  });

  test("terminates the idle microvm when suspended ones are kept for no time", async () => {
    await using it = await setUp();
    const idlePolicy = { ...POLICY, suspendedDurationSeconds: 0 };
    const microvmId = await it.running({ idlePolicy });
    await settle();
    it.clock.advance(60_000);
    await it.reaches(microvmId, "TERMINATED");
    assert.equal(it.host.count("suspend"), 0);
  });
});

describe("suspended time", () => {
  test("ends a microvm that nobody woke", async () => {
    await using it = await setUp();
    const microvmId = await it.suspended({ idlePolicy: POLICY });
    await settle();
    it.clock.advance(299_999);
    await settle();
    assert.equal(await it.stateOf(microvmId), "SUSPENDED");
    it.clock.advance(1);
    await it.reaches(microvmId, "TERMINATED");
    const { stateReason } = await it.record(microvmId);
    assert.equal(stateReason, "MicroVM exceeded maximum suspended duration.");
    assert.equal(it.host.saved.size, 0);
  });

  test("starts over with every suspend", async () => {
    await using it = await setUp();
    const microvmId = await it.suspended({ idlePolicy: POLICY });
    await settle();
    it.clock.advance(200_000);
    (await it.open(microvmId))[Symbol.dispose]();
    await it.domain.microvms.suspend(SCOPE, microvmId);
    await it.reaches(microvmId, "SUSPENDED");
    await settle();
    it.clock.advance(200_000);
    await settle();
    assert.equal(await it.stateOf(microvmId), "SUSPENDED");
  });
});

describe("lifetime", () => {
  test("ends a microvm, running or suspended, in use or not", async () => {
    await using it = await setUp();
    const busy = await it.running({ maximumDurationInSeconds: 100 });
    using lease = await it.open(busy);
    const asleep = await it.suspended({ maximumDurationInSeconds: 100 });
    await settle();
    it.clock.advance(99_999);
    await settle();
    assert.equal(await it.stateOf(busy), "RUNNING");
    it.clock.advance(1);
    for (const microvmId of [busy, asleep]) {
      await it.reaches(microvmId, "TERMINATED");
      const { stateReason } = await it.record(microvmId);
      assert.equal(stateReason, "MicroVM exceeded maximum lifetime.");
    }
    assert.equal(lease.signal.aborted, true);
  });
});

describe("retention", () => {
  test("forgets a terminated microvm after a day, with its client token", async () => {
    await using it = await setUp();
    const microvmId = await it.running({ clientToken: "t" });
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await it.reaches(microvmId, "TERMINATED");
    for (let elapsed = 0; elapsed < 24 * 3_600_000; elapsed += PURGE_INTERVAL_MS) {
      it.clock.advance(PURGE_INTERVAL_MS);
      await settle();
    }
    assert.equal(await it.run({ clientToken: "t" }), microvmId);
    it.clock.advance(PURGE_INTERVAL_MS);
    await eventually(async () => (await it.stateOf(microvmId)) === undefined);
    assert.notEqual(await it.run({ clientToken: "t" }), microvmId);
  });
});
