import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { Pace, pipeAt } from "../../../src/ingress/pace.ts";

test("a pace lets one second's worth through at once and spreads the rest", () => {
  const clock = { now: 5000 };
  const pace = new Pace(1000, () => clock.now);
  assert.equal(pace.take(600), 0);
  assert.equal(pace.take(400), 0);
  assert.equal(pace.take(100), 100);
  assert.equal(pace.take(500), 600);
  assert.equal(pace.isBusy, true);
  clock.now += 600;
  assert.equal(pace.isBusy, false);
  assert.equal(pace.take(100), 100);
  clock.now += 60_000;
  assert.equal(pace.take(1000), 0);
  assert.equal(pace.take(1), 1);
});

/** Gives every piece its turn a moment later. */
const slow = { isBusy: true, take: () => 1 } as unknown as Pace;
const never = { isBusy: true, take: () => 3_600_000 } as unknown as Pace;

for (const [name, pace] of [
  ["no pace", undefined],
  ["a slow pace", slow],
] as const)
  test(`pipeAt hands everything on in order at ${name}, and does not end the sink`, async () => {
    const pieces = Array.from({ length: 50 }, (_, index) => Buffer.alloc(1000, index));
    const to = new PassThrough();
    const { last } = pipeAt(pace, Readable.from(pieces), to);
    last.once("end", () => setImmediate(() => to.end("end")));
    assert.deepEqual(await buffer(to), Buffer.concat([...pieces, Buffer.from("end")]));
  });

test("a source that is too fast is held back", async () => {
  let made = 0;
  const from = new Readable({
    read() {
      made += 1;
      this.push(Buffer.alloc(16 * 1024));
    },
  });
  const to = new PassThrough();
  const passage = pipeAt(never, from, to);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(made < 32, `${made} pieces were taken`);
  assert.equal(to.readableLength, 0);
  passage.stop();
  from.destroy();
});

test("settle hands on what has come, then calls back", async () => {
  const from = new PassThrough();
  const to = new PassThrough();
  const { settle } = pipeAt(slow, from, to);
  for (let index = 0; index < 10; index++) from.write(Buffer.alloc(100, index));
  await new Promise((resolve) => setImmediate(resolve));
  from.destroy();
  await new Promise<void>((resolve) => settle(resolve));
  to.end();
  assert.equal((await buffer(to)).length, 1000);
});

test("a sink that closes lets go of the source", async () => {
  const from = new PassThrough();
  const to = new PassThrough();
  const { last, settle } = pipeAt(never, from, to);
  from.write("x");
  to.destroy();
  await once(last, "close");
  let settled = false;
  settle(() => (settled = true));
  assert.equal(settled, true);
  assert.equal(from.listenerCount("data"), 0);
});
