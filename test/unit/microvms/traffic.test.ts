import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import { createLiveMicrovms, dropVmm, newLiveVmm } from "../../../src/microvms/live.ts";
import type { IdlePolicy, MicrovmRecord } from "../../../src/microvms/records.ts";
import { createTraffic, MAX_WAITERS_PER_MICROVM } from "../../../src/microvms/traffic.ts";
import type { MicrovmPatch } from "../../../src/store/store.ts";
import { someMicrovm } from "../../fixtures/domain-records.ts";
import { createFakeClock } from "../../fixtures/fake-clock.ts";

const never = new AbortController().signal;
const WAIT_MS = 30_000;
const turn = () => new Promise(setImmediate);
const autoResume: IdlePolicy = {
  maxIdleDurationSeconds: 60,
  suspendedDurationSeconds: 300,
  autoResumeEnabled: true,
};

/** The gate over a directory with one microVM; `set` changes its record as a store write would. */
function setUp(initial: Partial<MicrovmRecord>) {
  const clock = createFakeClock();
  const live = createLiveMicrovms(() => clock.now());
  const quiet: string[] = [];
  const amended: MicrovmPatch[] = [];
  let amendCalls = 0;
  let failure: Error | undefined;
  const traffic = createTraffic({
    live,
    clock,
    waitMs: WAIT_MS,
    onQuiet: (microvmId) => quiet.push(microvmId),
    microvms: {
      get: async () => undefined,
      findByEndpoint: async () => undefined,
      async amend(microvmId, change) {
        amendCalls += 1;
        // A store may take its time.
        await turn();
        if (failure !== undefined) throw failure;
        const entry = live.get(microvmId);
        assert.ok(entry);
        const patch = change(entry.record);
        if (patch !== null) {
          amended.push(patch);
          set(patch);
        }
        return entry.record;
      },
    },
  });
  const record = someMicrovm(initial);
  const { microvmId } = record;
  live.put(record);
  function set(changes: Partial<MicrovmRecord>) {
    const entry = live.get(microvmId);
    assert.ok(entry);
    live.put({ ...entry.record, ...changes });
    traffic.changed(microvmId);
  }
  const entry = live.get(microvmId);
  assert.ok(entry);
  const start = (address = "100.96.0.1") => {
    const vmm = newLiveVmm({ vmmId: record.vmmId ?? "vmm", address });
    vmm.isOpen = true;
    entry.vmm = vmm;
    set({ state: "RUNNING" });
    return vmm;
  };
  const failWrites = (error: Error) => (failure = error);
  const open = async (signal = never) => traffic.open(microvmId, signal);
  return {
    clock,
    traffic,
    entry,
    microvmId,
    quiet,
    amended,
    amendCalls: () => amendCalls,
    set,
    start,
    open,
    failWrites,
  };
}

describe("Traffic.open", () => {
  test("leases a running microvm at once and counts the lease", async () => {
    const { clock, entry, start, open, quiet, microvmId } = setUp({});
    const vmm = start();
    clock.advance(5000);
    const lease = await open();
    assert.equal(lease.address, "100.96.0.1");
    assert.equal(lease.waitedMs, 0);
    assert.equal(vmm.leases, 1);
    assert.equal(entry.lastActivityAt, clock.now());
    const second = await open();
    clock.advance(5000);
    lease[Symbol.dispose]();
    lease[Symbol.dispose]();
    assert.equal(vmm.leases, 1);
    assert.deepEqual(quiet, []);
    second[Symbol.dispose]();
    assert.equal(vmm.leases, 0);
    assert.deepEqual(quiet, [microvmId]);
    assert.equal(entry.lastActivityAt, clock.now());
  });

  test("waits for a microvm that is starting and says how long", async () => {
    const { clock, start, open } = setUp({ state: "PENDING" });
    const waiting = open();
    await turn();
    clock.advance(700);
    start();
    const lease = await waiting;
    assert.equal(lease.waitedMs, 700);
    assert.equal(clock.pendingTimers(), 0);
  });

  test("wakes a suspended microvm once, however many wait", async () => {
    const { amended, amendCalls, start, open } = setUp({
      state: "SUSPENDED",
      desired: "SUSPENDED",
      idlePolicy: autoResume,
    });
    const waiting = [open(), open(), open()];
    await turn();
    waiting.push(open());
    await turn();
    assert.deepEqual(amended, [{ desired: "RUNNING" }]);
    assert.equal(amendCalls(), 1);
    const vmm = start();
    await Promise.all(waiting);
    assert.equal(vmm.leases, 4);
  });

  test("lets a suspend in progress finish before it wakes", async () => {
    const { amended, set, start, open } = setUp({ idlePolicy: autoResume });
    const vmm = start();
    // Asked for, not begun: waking now would cancel it.
    set({ desired: "SUSPENDED" });
    const waiting = open();
    await turn();
    assert.deepEqual(amended, []);
    assert.equal(vmm.leases, 0);
    set({ state: "SUSPENDING" });
    await turn();
    await turn();
    assert.deepEqual(amended, [{ desired: "RUNNING" }]);
    set({ state: "SUSPENDED" });
    start("100.96.0.2");
    assert.equal((await waiting).address, "100.96.0.2");
  });

  test("gives no lease on a vmm that is closed to traffic", async () => {
    const { traffic, start, open, microvmId } = setUp({});
    const vmm = start();
    vmm.isOpen = false;
    let hasLease = false;
    const waiting = open().then((lease) => {
      hasLease = true;
      return lease;
    });
    await turn();
    assert.equal(hasLease, false);
    vmm.isOpen = true;
    traffic.changed(microvmId);
    assert.ok(await waiting);
  });

  test("refuses a suspended microvm that does not resume by itself", async () => {
    const asleep = { state: "SUSPENDED", desired: "SUSPENDED" } as const;
    await assert.rejects(setUp(asleep).open(), { code: "CONFLICT" });
    const idlePolicy = { ...autoResume, autoResumeEnabled: false };
    const { open, amended } = setUp({ ...asleep, idlePolicy });
    await assert.rejects(open(), { code: "CONFLICT" });
    assert.deepEqual(amended, []);
  });

  test("waits for an explicit resume even without auto-resume", async () => {
    const { start, open } = setUp({ state: "SUSPENDED", desired: "RUNNING" });
    const waiting = open();
    await turn();
    start();
    assert.ok(await waiting);
  });

  test("refuses a microvm that is terminated or about to be", async () => {
    for (const gone of [
      { state: "RUNNING", desired: "TERMINATED" },
      { state: "TERMINATING", desired: "TERMINATED" },
      { state: "TERMINATING" },
    ] as const)
      await assert.rejects(setUp(gone).open(), { code: "NOT_FOUND" });
    const { traffic } = setUp({});
    await assert.rejects(async () => traffic.open("microvm-none", never), { code: "NOT_FOUND" });
  });

  test("refuses who waits when the microvm is terminated meanwhile", async () => {
    const { set, open } = setUp({ state: "PENDING" });
    const waiting = assert.rejects(open(), { code: "NOT_FOUND" });
    await turn();
    set({ desired: "TERMINATED" });
    await waiting;
  });

  test("gives up after the time-out, with no timer left", async () => {
    const { clock, open } = setUp({ state: "PENDING" });
    const waiting = assert.rejects(open(), {
      code: "VMM_FAILED",
      details: { retryAfterSeconds: 2 },
    });
    await turn();
    clock.advance(WAIT_MS);
    await waiting;
    assert.equal(clock.pendingTimers(), 0);
  });

  test("stops waiting when the caller goes away", async () => {
    const { clock, open, start } = setUp({ state: "PENDING" });
    const caller = new AbortController();
    const waiting = assert.rejects(open(caller.signal), RangeError);
    await turn();
    caller.abort(new RangeError("gone"));
    await waiting;
    assert.equal(clock.pendingTimers(), 0);
    assert.equal(start().leases, 0);
    await assert.rejects(open(caller.signal), RangeError);
  });

  test("bounds who waits", async () => {
    const { open, start } = setUp({ state: "PENDING" });
    const waiting = Array.from({ length: MAX_WAITERS_PER_MICROVM }, () => open());
    await turn();
    await assert.rejects(open(), { code: "NO_CAPACITY", details: { retryAfterSeconds: 2 } });
    const vmm = start();
    await Promise.all(waiting);
    assert.equal(vmm.leases, MAX_WAITERS_PER_MICROVM);
    await open();
  });

  test("tells all who wait that the wake-up failed", async () => {
    const { traffic, open, microvmId } = setUp({
      state: "SUSPENDED",
      desired: "SUSPENDED",
      idlePolicy: autoResume,
    });
    const refusals = [open(), open()].map((waiting) =>
      assert.rejects(waiting, { code: "VMM_FAILED" }),
    );
    await turn();
    traffic.failed(microvmId, new ServiceError("VMM_FAILED", "no"));
    await Promise.all(refusals);
  });

  test("tells who waits when the wake-up cannot be recorded, and tries again for the next", async () => {
    const { open, failWrites, clock } = setUp({
      state: "SUSPENDED",
      desired: "SUSPENDED",
      idlePolicy: autoResume,
    });
    failWrites(new ServiceError("STORAGE_FULL", "full"));
    await assert.rejects(open(), { code: "VMM_FAILED" });
    await assert.rejects(open(), { code: "VMM_FAILED" });
    assert.equal(clock.pendingTimers(), 0);
  });

  test("cuts the leases of a vmm that goes away, and does not count them for the next", async () => {
    const { entry, set, start, open } = setUp({});
    start();
    const lease = await open();
    assert.equal(lease.signal.aborted, false);
    dropVmm(entry);
    assert.equal(lease.signal.aborted, true);
    set({ state: "SUSPENDED" });
    const next = start();
    assert.equal(next.leases, 0);
    lease[Symbol.dispose]();
    assert.equal(next.leases, 0);
  });
});

describe("Traffic.find", () => {
  test("finds live microvms by id and endpoint as last written", async () => {
    const { traffic, entry, set, microvmId } = setUp({});
    set({ state: "RUNNING" });
    assert.equal((await traffic.findById(microvmId))?.state, "RUNNING");
    const found = await traffic.findByEndpoint(entry.record.endpointId);
    assert.equal(found?.microvmId, microvmId);
    assert.equal(await traffic.findByEndpoint("none"), undefined);
  });
});

describe("Traffic.whenRunning", () => {
  const asleep = { state: "SUSPENDED", desired: "SUSPENDED", idlePolicy: autoResume } as const;

  test("waits as long as it takes and wakes nobody", async () => {
    const { clock, amendCalls, set, start, traffic, microvmId } = setUp(asleep);
    const waiting = traffic.whenRunning(microvmId, never);
    await turn();
    clock.advance(10 * WAIT_MS);
    await turn();
    assert.equal(amendCalls(), 0);
    set({ desired: "RUNNING" });
    const vmm = start();
    using lease = await waiting;
    assert.equal(lease.vmmId, vmm.vmmId);
    assert.equal(lease.waitedMs, 10 * WAIT_MS);
    assert.equal(vmm.leases, 1);
  });

  test("outlasts what refuses requests, but not the microvm", async () => {
    const { set, traffic, microvmId } = setUp({
      ...asleep,
      idlePolicy: { ...autoResume, autoResumeEnabled: false },
    });
    const waiting = traffic.whenRunning(microvmId, never);
    await assert.rejects(async () => traffic.open(microvmId, never), { code: "CONFLICT" });
    set({ desired: "TERMINATED" });
    await assert.rejects(waiting, { code: "NOT_FOUND" });
    await assert.rejects(traffic.whenRunning("microvm-none", never), { code: "NOT_FOUND" });
  });

  test("ends with its signal", async () => {
    const { traffic, microvmId, start } = setUp(asleep);
    const leaving = new AbortController();
    const waiting = traffic.whenRunning(microvmId, leaving.signal);
    leaving.abort(new Error("left"));
    await assert.rejects(waiting, { message: "left" });
    assert.equal(start().leases, 0);
  });
});

test("noteActivity counts while traffic is let in, and wakes nobody", async () => {
  const { amendCalls, clock, entry, start, traffic, microvmId } = setUp({});
  const before = entry.lastActivityAt;
  clock.advance(5000);
  traffic.noteActivity(microvmId);
  assert.equal(entry.lastActivityAt, before);
  const vmm = start();
  traffic.noteActivity(microvmId);
  assert.equal(entry.lastActivityAt, clock.now());
  assert.deepEqual([vmm.leases, amendCalls()], [0, 0]);
});
