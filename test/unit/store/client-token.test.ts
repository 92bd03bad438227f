import assert from "node:assert/strict";
import { test } from "node:test";
import { tokenUseOf } from "../../../src/store/client-token.ts";

const hashOf = (input: Record<string, unknown>) =>
  tokenUseOf("RunMicrovm", { clientToken: "t", ...input })?.parametersHash;

test("tokenUseOf is null without a token", () => {
  assert.equal(tokenUseOf("RunMicrovm", {}), null);
});

test("tokenUseOf gives equal parameters one hash, whatever their order", () => {
  assert.equal(hashOf({ a: 1, b: { c: [1, 2], d: 2 } }), hashOf({ b: { d: 2, c: [1, 2] }, a: 1 }));
  assert.equal(hashOf({ a: 1, b: undefined }), hashOf({ a: 1 }));
});

test("tokenUseOf tells different parameters apart, but not different tokens", () => {
  assert.notEqual(hashOf({ a: 1 }), hashOf({ a: "1" }));
  assert.notEqual(hashOf({ a: [1, 2] }), hashOf({ a: [2, 1] }));
  assert.equal(hashOf({ a: 1 }), hashOf({ a: 1, clientToken: "u" }));
});
