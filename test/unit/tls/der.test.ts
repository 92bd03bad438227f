import assert from "node:assert/strict";
import { test } from "node:test";
import * as der from "../../../src/tls/der.ts";

const hex = (buffer: Buffer) => buffer.toString("hex");

test("element writes short and long lengths in definite form", () => {
  assert.equal(hex(der.octetString(Buffer.alloc(0x7f))).slice(0, 4), "047f");
  assert.equal(hex(der.octetString(Buffer.alloc(0x80))).slice(0, 6), "048180");
  assert.equal(hex(der.octetString(Buffer.alloc(0x1234))).slice(0, 8), "04821234");
});

test("unsignedInteger is positive and as short as it can be", () => {
  assert.equal(hex(der.unsignedInteger(Buffer.from([0]))), "020100");
  assert.equal(hex(der.unsignedInteger(Buffer.from([0, 0, 0x7f]))), "02017f");
  assert.equal(hex(der.unsignedInteger(Buffer.from([0x80]))), "02020080");
});

test("objectIdentifier packs arcs above 127 in base 128", () => {
  assert.equal(hex(der.objectIdentifier("1.2.840.10045.4.3.2")), "06082a8648ce3d040302");
  assert.equal(hex(der.objectIdentifier("2.5.29.19")), "0603551d13");
});

test("time is UTCTime before 2050 and GeneralizedTime from then on", () => {
  const text = (ms: number) => der.time(ms).subarray(2).toString();
  const before = Date.UTC(2049, 11, 31, 23, 59, 59, 999);
  assert.equal(der.time(before)[0], der.TAG.utcTime);
  assert.equal(text(before), "491231235959Z");
  assert.equal(der.time(before + 1)[0], der.TAG.generalizedTime);
  assert.equal(text(before + 1), "20500101000000Z");
});
