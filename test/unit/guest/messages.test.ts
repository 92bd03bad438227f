import assert from "node:assert/strict";
import { test } from "node:test";
import {
  agentEvent,
  errorResponse,
  execResponse,
  hookResponse,
} from "../../../src/guest/messages.ts";

const refuses = (schema: { safeParse(value: unknown): { success: boolean } }, value: unknown) =>
  assert.equal(schema.safeParse(value).success, false, JSON.stringify(value).slice(0, 100));

test("agentEvent refuses unknown states, wild numbers and oversized texts", () => {
  refuses(agentEvent, { status: "asleep" });
  refuses(agentEvent, { status: "running", pid: 0 });
  refuses(agentEvent, { status: "running" });
  const exited = { status: "exited", exitCode: 0, signal: null, lastOutput: "" };
  assert.equal(agentEvent.safeParse(exited).success, true);
  refuses(agentEvent, { ...exited, exitCode: 256 });
  refuses(agentEvent, { ...exited, signal: "SIGKILL" });
  refuses(agentEvent, { ...exited, lastOutput: "x".repeat(4097) });
  refuses(agentEvent, { status: "failed", reason: "x".repeat(4097) });
});

test("hookResponse refuses outcomes and statuses that do not exist", () => {
  refuses(hookResponse, { outcome: "answered", status: 99 });
  refuses(hookResponse, { outcome: "answered", status: 200.5 });
  refuses(hookResponse, { outcome: "maybe" });
});

test("execResponse takes 1 MiB of a stream and no more", () => {
  const response = (size: number) => ({
    ...{ exitCode: 0, signal: null, timedOut: false, stderr: "", truncated: false },
    stdout: Buffer.alloc(size).toString("base64"),
  });
  assert.equal(execResponse.safeParse(response(1024 * 1024)).success, true);
  refuses(execResponse, response(1024 * 1024 + 3));
  refuses(execResponse, { ...response(0), stdout: "not base64!" });
});

test("messages ignore fields of a newer agent", () => {
  assert.deepEqual(errorResponse.parse({ message: "no", hint: "x" }), { message: "no" });
});
