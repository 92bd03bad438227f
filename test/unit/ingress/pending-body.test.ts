import assert from "node:assert/strict";
import { test } from "node:test";
import { PendingBody } from "../../../src/ingress/pending-body.ts";

test("a body that comes in single bytes is kept in few pieces, and is the same", () => {
  const body = new PendingBody();
  const sent = Buffer.from(Array.from({ length: 10_000 }, (_, index) => index & 0xff));
  for (let at = 0; at < sent.length; at += 1) body.add(sent.subarray(at, at + 1));
  const chunks = body.take();
  assert.ok(chunks.length < 300, `${chunks.length} pieces`);
  assert.deepEqual(Buffer.concat(chunks), sent);
});

test("what was taken is not given again", () => {
  const body = new PendingBody();
  const names = Array.from({ length: 600 }, (_, index) => `${index} `);
  for (const name of names) body.add(Buffer.from(name));
  assert.equal(Buffer.concat(body.take()).toString(), names.join(""));
  assert.deepEqual(body.take(), []);
  body.add(Buffer.from("more"));
  assert.equal(Buffer.concat(body.take()).toString(), "more");
});
