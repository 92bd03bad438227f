// The golden bodies as the host reads and writes them; the agent's own tests (agent/src/protocol.rs) read the same files.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import {
  agentEvent,
  errorResponse,
  execResponse,
  hookResponse,
  listeningResponse,
} from "../../../src/guest/messages.ts";
import type {
  ExecRequest,
  HookRequest,
  RestoredRequest,
  StartRequest,
} from "../../../src/guest/protocol.ts";

const golden = (name: string): unknown =>
  JSON.parse(readFileSync(path.join(import.meta.dirname, `${name}.json`), "utf8"));

const clock = { epochMs: 1_767_225_600_123 };
const entropy = Buffer.from(Array.from({ length: 64 }, (_, index) => index)).toString("base64");

const requests = {
  "start-request": {
    secret: "00112233445566778899aabbccddeeff",
    container: {
      args: ["gunicorn", "--bind=0.0.0.0:8080"],
      env: ["PATH=/usr/bin:/bin", "GREETING=héllo"],
      workingDir: "/app",
      user: "app:staff",
      hostname: "localhost",
      nameservers: ["192.0.0.1"],
      allCapabilities: false,
    },
    clock,
    entropy,
  } satisfies StartRequest,
  "restored-request": { clock, entropy } satisfies RestoredRequest,
  "hook-request": {
    port: 9000,
    path: "/aws/lambda-microvms/runtime/v1/run",
    body: '{"microvmId":"microvm-1"}',
    timeoutMs: 1000,
  } satisfies HookRequest,
  "exec-request": {
    args: ["id", "-u"],
    env: ["A=1"],
    workingDir: "/tmp",
    user: "nobody",
    timeoutMs: 5000,
  } satisfies ExecRequest,
  "exec-request-minimal": { args: ["true"], timeoutMs: 5000 } satisfies ExecRequest,
};

const responses = {
  "event-running": agentEvent,
  "event-exited": agentEvent,
  "event-signalled": agentEvent,
  "event-failed": agentEvent,
  "hook-response-answered": hookResponse,
  "hook-response-timeout": hookResponse,
  "hook-response-refused": hookResponse,
  "exec-response": execResponse,
  "listening-response": listeningResponse,
  "error-response": errorResponse,
};

for (const [name, value] of Object.entries(requests)) {
  test(`host writes ${name} as the golden body says`, () => {
    assert.deepEqual(JSON.parse(JSON.stringify(value)), golden(name));
  });
}

for (const [name, schema] of Object.entries(responses)) {
  test(`host reads ${name} with nothing left over`, () => {
    assert.deepEqual(schema.parse(golden(name)), golden(name));
  });
}
