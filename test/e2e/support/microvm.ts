// One running microVM as the tests use it: run it, call it, ask the counter application.

import assert from "node:assert/strict";
import { RunMicrovmCommand, type RunMicrovmCommandInput } from "@aws-sdk/client-lambda-microvms";
import {
  callEndpoint,
  type CallOptions,
  type CallResult,
  mintToken,
  waitForState,
} from "../../../scripts/walkthrough/client.ts";
import type { TestService } from "./test-service.ts";

/** Long enough not to fire within a test. */
export const LONG_IDLE = {
  maxIdleDurationSeconds: 3600,
  suspendedDurationSeconds: 3600,
  autoResumeEnabled: true,
} as const;

export interface Counter {
  readonly count: number;
  readonly pid: number;
  readonly uptimeSeconds: number;
}

export interface TestMicrovm {
  readonly id: string;
  readonly endpoint: string;
  readonly token: string;
  call(path: string, options?: CallOptions): Promise<CallResult>;
  /** Body of a call that must succeed. */
  text(path: string): Promise<string>;
  count(): Promise<Counter>;
}

/** Runs a microVM, waits until it is RUNNING and mints a token for port 8080. */
export async function runMicrovm(
  test: TestService,
  imageIdentifier: string,
  more: Partial<RunMicrovmCommandInput> = {},
): Promise<TestMicrovm> {
  const command = new RunMicrovmCommand({ imageIdentifier, idlePolicy: LONG_IDLE, ...more });
  const { microvmId: id = "", endpoint = "" } = await test.clients.microvms.send(command);
  await waitForState(test.clients, id, ["RUNNING"]);
  return attach(test, id, endpoint, await mintToken(test.clients, id));
}

/** The same for a microVM that exists. Calls go through whatever service process is current. */
export function attach(
  test: TestService,
  id: string,
  endpoint: string,
  token: string,
): TestMicrovm {
  const call = (path: string, options: CallOptions = {}) => {
    // A restarted service listens on another port; the endpoint's name stays.
    const host = endpoint.replace(/:\d+$/, `:${test.service.ingress.port}`);
    return callEndpoint(test.service, host, token, { ...options, path });
  };
  const text = async (path: string) => {
    const answer = await call(path);
    assert.equal(answer.status, 200, `${path}: ${answer.body}`);
    return answer.body;
  };
  return {
    ...{ id, endpoint, token, call, text },
    count: async () => JSON.parse(await text("/")) as Counter,
  };
}

/** Asserts that nothing was restarted between two answers of the counter application. */
export function assertContinues(before: Counter, now: Counter): void {
  assert.equal(now.count, before.count + 1, "the request counter goes on");
  assert.equal(now.pid, before.pid, "the process is the same");
  assert.ok(now.uptimeSeconds >= before.uptimeSeconds, "the uptime goes on");
}
