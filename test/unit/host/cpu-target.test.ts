import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuTargetOf } from "../../../src/host/cpu-target.ts";

test("cpuTargetOf names the architectures as the service does", () => {
  assert.equal(cpuTargetOf("x64").architecture, "X86_64");
  assert.equal(cpuTargetOf("arm64").architecture, "ARM_64");
});

test("cpuTargetOf refuses a machine that cannot be a host", () => {
  assert.throws(() => cpuTargetOf("riscv64"), { code: "SETUP_FAILED" });
});
