import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createGate } from "../../../src/network/gate.ts";

describe("gate", () => {
  it("runs tasks in order, never more than its limit at once", async () => {
    const gate = createGate(2);
    const started: number[] = [];
    const tasks = [0, 1, 2, 3].map(() => Promise.withResolvers<void>());
    const done = tasks.map(({ promise }, at) =>
      gate(() => {
        started.push(at);
        return promise;
      }),
    );
    assert.deepEqual(started, [0, 1]);
    tasks[1]?.resolve();
    await done[1];
    assert.deepEqual(started, [0, 1, 2]);
    for (const task of tasks) task.resolve();
    await Promise.all(done);
    assert.deepEqual(started, [0, 1, 2, 3]);
  });

  it("passes results on, and the turn of a task that failed", async () => {
    const gate = createGate(1);
    const failing = gate(() => Promise.reject(new Error("no")));
    const next = gate(() => Promise.resolve("yes"));
    await assert.rejects(failing, /no/);
    assert.equal(await next, "yes");
  });
});
