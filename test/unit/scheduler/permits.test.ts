import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createPermits } from "../../../src/scheduler/permits.ts";

const never = new AbortController().signal;

describe("createPermits", () => {
  test("lets only so many in at once, first come first served", async () => {
    const permits = createPermits(2);
    const started: number[] = [];
    const ends: (() => void)[] = [];
    const work = (id: number) => () => {
      started.push(id);
      return new Promise<void>((resolve) => ends.push(resolve));
    };
    const all = [1, 2, 3, 4].map((id) => permits.run(work(id), never));
    await new Promise(setImmediate);
    assert.deepEqual(started, [1, 2]);
    ends[1]?.();
    await all[1];
    await new Promise(setImmediate);
    assert.deepEqual(started, [1, 2, 3]);
    ends[0]?.();
    ends[2]?.();
    await new Promise(setImmediate);
    assert.deepEqual(started, [1, 2, 3, 4]);
    ends[3]?.();
    await Promise.all(all);
  });

  test("frees the place of work that fails", async () => {
    const permits = createPermits(1);
    await assert.rejects(
      permits.run(() => Promise.reject(new RangeError("no")), never),
      RangeError,
    );
    assert.equal(await permits.run(async () => "yes", never), "yes");
  });

  test("forgets a waiter whose signal aborts, and no place with it", async () => {
    const permits = createPermits(1);
    const { promise, resolve } = Promise.withResolvers<void>();
    const first = permits.run(() => promise, never);
    const impatient = new AbortController();
    const second = permits.run(() => Promise.reject(new Error("never runs")), impatient.signal);
    const third = permits.run(async () => 3, never);
    impatient.abort(new RangeError("gone"));
    await assert.rejects(second, RangeError);
    resolve();
    await first;
    assert.equal(await third, 3);
    assert.equal(await permits.run(async () => 4, never), 4);
  });
});
