import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import { hookFailureReason, hookSettings, runHookBody } from "../../../src/microvms/hooks.ts";

describe("hookSettings", () => {
  test("knows no hook that is not enabled", () => {
    assert.equal(hookSettings(null, "run"), undefined);
    assert.equal(hookSettings({ port: 1, microvmHooks: { resume: "ENABLED" } }, "run"), undefined);
    assert.equal(hookSettings({ microvmHooks: { run: "DISABLED" } }, "run"), undefined);
  });

  test("takes port and time-out from the image, else the conventional ones", () => {
    assert.deepEqual(hookSettings({ microvmHooks: { run: "ENABLED" } }, "run"), {
      port: 9000,
      timeoutMs: 1000,
    });
    const hooks = {
      port: 8080,
      microvmHooks: { suspend: "ENABLED", suspendTimeoutInSeconds: 60, runTimeoutInSeconds: 2 },
    } as const;
    assert.deepEqual(hookSettings(hooks, "suspend"), { port: 8080, timeoutMs: 60_000 });
  });
});

test("runHookBody carries the payload exactly as it was passed", () => {
  assert.equal(
    runHookBody("microvm-1", '{"a": "\\n"}'),
    JSON.stringify({ microvmId: "microvm-1", runHookPayload: '{"a": "\\n"}' }),
  );
  assert.equal(runHookBody("microvm-1", null), '{"microvmId":"microvm-1"}');
});

describe("hookFailureReason", () => {
  const failure = (details: Record<string, unknown>) =>
    new ServiceError("HOOK_FAILED", "internal words", { details });
  const advice = "Please check your hook endpoint and application logs for more details.";

  test("words a status as the service does", () => {
    assert.equal(
      hookFailureReason("run", 1000, failure({ status: 404 })),
      `Run lifecycle hook returned HTTP status 404. ${advice}`,
    );
  });

  test("names the time-out", () => {
    assert.equal(
      hookFailureReason("resume", 5000, failure({ outcome: "timeout" })),
      `Resume lifecycle hook timed out after PT5S. ${advice}`,
    );
  });

  test("keeps internals out of every other failure", () => {
    for (const error of [failure({ outcome: "refused" }), new TypeError("a stack")]) {
      const reason = hookFailureReason("suspend", 1000, error);
      assert.equal(reason, `Suspend lifecycle hook could not be called. ${advice}`);
    }
  });
});
