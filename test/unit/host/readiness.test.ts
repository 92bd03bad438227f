import assert from "node:assert/strict";
import { test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import type { GuestClient } from "../../../src/guest/client.ts";
import type { HookRequest, HookResponse } from "../../../src/guest/protocol.ts";
import { isoDuration, pollImageHook } from "../../../src/host/readiness.ts";
import type { Hooks } from "../../../src/images/records.ts";

const signal = new AbortController().signal;
const hooks: Hooks = {
  port: 9000,
  microvmImageHooks: { ready: "ENABLED", readyTimeoutInSeconds: 3 },
};

/** A guest whose hook gives `answers` in turn, the last one for ever. */
function guestAnswering(...answers: HookResponse[]) {
  const calls: HookRequest[] = [];
  const hook = async (request: HookRequest): Promise<HookResponse> => {
    calls.push(request);
    return answers[Math.min(calls.length, answers.length) - 1] ?? { outcome: "timeout" };
  };
  return { calls, guest: { hook } as unknown as GuestClient };
}

test("a ready hook is asked again after 503 and while nobody listens, until it answers 200", async () => {
  const { guest, calls } = guestAnswering(
    { outcome: "refused", reason: "connection refused" },
    { outcome: "answered", status: 503 },
    { outcome: "answered", status: 200 },
  );
  await pollImageHook(guest, "ready", hooks, signal);
  assert.equal(calls.length, 3);
  for (const call of calls) {
    assert.equal(call.path, "/aws/lambda-microvms/runtime/v1/ready");
    assert.ok(Number.isInteger(call.timeoutMs) && call.timeoutMs <= 3000, `${call.timeoutMs} ms`);
  }
});

test("a ready hook that answers a client error fails the build in the service's words", async () => {
  const { guest } = guestAnswering({ outcome: "answered", status: 404 });
  await assert.rejects(pollImageHook(guest, "ready", hooks, signal), (error) => {
    assert.ok(isServiceError(error, "BUILD_FAILED"));
    assert.equal(
      error.message,
      "Ready hook check failed: the application returned a client error (HTTP 4xx) response.",
    );
    return true;
  });
});

test("a ready hook that never answers 200 fails the build with its time-out", async () => {
  const short: Hooks = {
    ...hooks,
    microvmImageHooks: { ready: "ENABLED", readyTimeoutInSeconds: 1 },
  };
  const { guest } = guestAnswering({ outcome: "answered", status: 503 });
  await assert.rejects(pollImageHook(guest, "ready", short, signal), {
    message: "Ready hook invocation timed out after PT1S",
  });
});

test("durations are worded as the service words them", () => {
  assert.deepEqual([1, 60, 90, 300, 3600, 3661].map(isoDuration), [
    "PT1S",
    "PT1M",
    "PT1M30S",
    "PT5M",
    "PT1H",
    "PT1H1M1S",
  ]);
});
