// Quotas as a client sees them.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  RunMicrovmCommand,
  ServiceQuotaExceededException,
  SuspendMicrovmCommand,
  ThrottlingException,
} from "@aws-sdk/client-lambda-microvms";
import { createRateLimiter } from "../../../src/api/rate-limit.ts";
import { ServiceError } from "../../../src/errors.ts";
import { createFakeClock } from "../../fixtures/fake-clock.ts";
import { IMAGE_ARN, MICROVM_ID } from "../../unit/api/fixtures.ts";
import { send, sendSigned, startHarness } from "./harness.ts";

const SUSPEND = { method: "POST", path: `/2025-09-09/microvms/${MICROVM_ID}/suspend` };

describe("the memory quota", () => {
  it("is answered with 402 and null members", async () => {
    const message = "The base maximum allocated memory limit has been reached for this account.";
    const run = () => Promise.reject(new ServiceError("QUOTA_EXCEEDED", message));
    await using harness = await startHarness({ microvms: { run } });
    const command = new RunMicrovmCommand({ imageIdentifier: IMAGE_ARN });
    await assert.rejects(harness.lambda.send(command), (error) => {
      assert.ok(error instanceof ServiceQuotaExceededException);
      assert.equal(error.$metadata.httpStatusCode, 402);
      assert.equal(error.message, message);
      return true;
    });
    const body = JSON.stringify({ imageIdentifier: IMAGE_ARN });
    const raw = { method: "POST", path: "/2025-09-09/microvms", body };
    assert.deepEqual(JSON.parse((await sendSigned(harness, raw)).body), {
      message,
      quotaCode: null,
      resourceId: null,
      resourceType: null,
      serviceCode: null,
    });
  });
});

describe("request rates", () => {
  const clock = createFakeClock();
  const rates = () => createRateLimiter({ clock }, { SuspendMicrovm: 2 });

  it("throttle with 429 and Retry-After before the request is looked into", async () => {
    await using harness = await startHarness({ rates: rates() });
    await sendSigned(harness, SUSPEND);
    await sendSigned(harness, SUSPEND);
    const throttled = await sendSigned(harness, SUSPEND);
    assert.equal(throttled.status, 429);
    assert.equal(throttled.headers["x-amzn-errortype"], "ThrottlingException");
    assert.equal(throttled.headers["retry-after"], "1");
    assert.deepEqual(JSON.parse(throttled.body), {
      message: "Rate exceeded",
      quotaCode: null,
      serviceCode: null,
    });
    const command = new SuspendMicrovmCommand({ microvmIdentifier: MICROVM_ID });
    await assert.rejects(harness.lambda.send(command), ThrottlingException);
    assert.equal(harness.calls.length, 2);
    assert.equal((await sendSigned(harness, SUSPEND, { region: "eu-west-1" })).status, 200);
  });

  it("are not used up by requests without a valid signature", async () => {
    await using harness = await startHarness({ rates: rates() });
    for (let index = 0; index < 5; index += 1) {
      assert.equal((await send(harness.port, SUSPEND)).status, 403);
      const forged = { secretAccessKey: "another" };
      assert.equal((await sendSigned(harness, SUSPEND, forged)).status, 403);
    }
    assert.equal((await sendSigned(harness, SUSPEND)).status, 200);
  });

  it("are not enforced unless asked for", async () => {
    await using harness = await startHarness();
    for (let index = 0; index < 20; index += 1)
      assert.equal((await sendSigned(harness, SUSPEND)).status, 200);
  });
});
