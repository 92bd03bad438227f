// The memory quota in a whole domain.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SCOPE } from "../../fixtures/domain-records.ts";
import { setUp } from "./harness.ts";

const REFUSAL = {
  code: "QUOTA_EXCEEDED",
  message: "The base maximum allocated memory limit has been reached for this account.",
};

describe("memory quota", () => {
  test("of six runs at once as many succeed as fit", async () => {
    await using harness = await setUp({ memoryMiB: 1024 });
    const runs = await Promise.allSettled(Array.from({ length: 6 }, () => harness.run()));
    const refusals = runs.flatMap((run) =>
      run.status === "rejected" ? [run.reason as Error] : [],
    );
    assert.equal(refusals.length, 4);
    for (const { message } of refusals) assert.equal(message, REFUSAL.message);
  });

  test("suspended microVMs count, terminated ones do not", async () => {
    await using harness = await setUp({ memoryMiB: 512 });
    const microvmId = await harness.suspended();
    await assert.rejects(harness.run(), REFUSAL);
    const letGo = harness.host.hold("terminate");
    await harness.domain.microvms.terminate(SCOPE, microvmId);
    await harness.reaches(microvmId, "TERMINATING");
    await assert.rejects(harness.run(), REFUSAL);
    letGo();
    await harness.reaches(microvmId, "TERMINATED");
    await harness.running();
  });

  test("a repeated client token is answered although nothing fits any more", async () => {
    await using harness = await setUp({ memoryMiB: 512 });
    const microvmId = await harness.run({ clientToken: "t" });
    assert.equal(await harness.run({ clientToken: "t" }), microvmId);
    await assert.rejects(harness.run({ clientToken: "u" }), REFUSAL);
  });
});
