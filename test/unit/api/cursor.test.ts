import assert from "node:assert/strict";
import { createSecretKey } from "node:crypto";
import { it } from "node:test";
import { openCursor, sealCursor } from "../../../src/api/cursor.ts";

const key = createSecretKey(Buffer.alloc(32, 1));
const binding = {
  operation: "ListMicrovms",
  scope: { account: "000000000000", region: "us-east-1" },
  filter: { imageIdentifier: "arn:a", imageVersion: undefined },
};
const sealed = sealCursor(key, binding, "2026/é key") ?? "";

it("openCursor gives back what sealCursor sealed", () => {
  assert.equal(openCursor(key, binding, sealed), "2026/é key");
  assert.match(sealed, /^[\w-]+$/);
});

it("sealCursor ends a list with null and openCursor starts one without a token", () => {
  assert.equal(sealCursor(key, binding, null), null);
  assert.equal(openCursor(key, binding, undefined), null);
});

const { scope } = binding;
const strangers = {
  "another key": [createSecretKey(Buffer.alloc(32, 2)), binding, sealed],
  "another operation": [key, { ...binding, operation: "ListMicrovmImages" }, sealed],
  "another account": [key, { ...binding, scope: { ...scope, account: "1".repeat(12) } }, sealed],
  "another region": [key, { ...binding, scope: { ...scope, region: "eu-west-1" } }, sealed],
  "another filter": [key, { ...binding, filter: { imageIdentifier: "arn:b" } }, sealed],
  "a changed token": [key, binding, `${sealed.slice(0, -2)}AA`],
  "a cut token": [key, binding, sealed.slice(0, 20)],
  "an empty token": [key, binding, ""],
  "no base64": [key, binding, "%%%"],
} as const;

for (const [what, [otherKey, otherBinding, token]] of Object.entries(strangers))
  it(`openCursor refuses a token of ${what}`, () => {
    assert.throws(() => openCursor(otherKey, otherBinding, token), {
      code: "VALIDATION_FAILED",
      message: "Invalid nextToken",
    });
  });
