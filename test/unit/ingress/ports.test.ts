import assert from "node:assert/strict";
import { test } from "node:test";
import { isPortGranted, parsePort } from "../../../src/ingress/ports.ts";

test("parsePort takes plain decimal ports only", () => {
  assert.equal(parsePort("1"), 1);
  assert.equal(parsePort("65535"), 65535);
  for (const text of [
    "",
    "0",
    "65536",
    "080",
    "+80",
    "-1",
    "8e3",
    "0x50",
    "80 ",
    "80, 81",
    "８０",
    "123456",
  ]) {
    assert.equal(parsePort(text), undefined, JSON.stringify(text));
  }
});

test("isPortGranted matches single ports, ranges with both ends, and all ports", () => {
  assert.equal(isPortGranted([{ port: 80 }], 80), true);
  assert.equal(isPortGranted([{ port: 80 }], 81), false);
  const range = [{ range: { startPort: 80, endPort: 82 } }];
  assert.deepEqual(
    [79, 80, 82, 83].map((port) => isPortGranted(range, port)),
    [false, true, true, false],
  );
  assert.equal(isPortGranted([{ port: 1 }, { allPorts: {} }], 65535), true);
  assert.equal(isPortGranted([], 80), false);
});
