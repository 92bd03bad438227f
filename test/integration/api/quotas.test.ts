// Quotas as a client sees them.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  CreateMicrovmImageCommand,
  RunMicrovmCommand,
  ServiceQuotaExceededException,
  SuspendMicrovmCommand,
  ThrottlingException,
} from "@aws-sdk/client-lambda-microvms";
import { createRateLimiter } from "../../../src/api/rate-limit.ts";
import { ServiceError } from "../../../src/errors.ts";
import { createFakeClock } from "../../fixtures/fake-clock.ts";
import { IMAGE_ARN, MICROVM_ID } from "../../unit/api/fixtures.ts";
import { eventually } from "../scheduler/harness.ts";
import { send, sendSigned, startHarness } from "./harness.ts";
import { CONFIGURATION, image, setUp } from "./image-service.ts";

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

describe("builds", () => {
  const creation = (name: string) => new CreateMicrovmImageCommand({ ...CONFIGURATION, name });

  it("beyond those that may wait or run are answered with 402", async () => {
    await using it = await setUp({ concurrentBuilds: 1 });
    const release = it.hold("build");
    await it.lambda.send(creation("flask"));
    await assert.rejects(it.lambda.send(creation("second")), {
      name: "ServiceQuotaExceededException",
      message: "The limit of concurrent MicroVM image builds has been reached for this account.",
    });
    release();
    await it.atRest();
    await it.lambda.send(creation("second"));
  });

  it("that run count against the memory of microVMs", async () => {
    await using it = await setUp({ memoryMiB: 2048 });
    await it.create();
    const release = it.hold("build");
    await it.lambda.send(creation("second"));
    await eventually(() => it.host.count("build") === 2);
    const run = () => it.lambda.send(new RunMicrovmCommand(image));
    await assert.rejects(run(), { name: "ServiceQuotaExceededException" });
    release();
    await eventually(async () => (await it.store.images.listUnfinishedBuilds()).length === 0);
    await run();
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
