// The recorded refusals, to the byte: status, exception, and the whole body.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DeleteMicrovmImageCommand, RunMicrovmCommand } from "@aws-sdk/client-lambda-microvms";
import { BASE_ARN, IMAGE_ARN } from "../../unit/api/fixtures.ts";
import { eventually } from "../scheduler/harness.ts";
import { sendSigned } from "./harness.ts";
import { CONFIGURATION, image, setUp } from "./image-service.ts";

const IMAGES = "/2025-09-09/microvm-images";
const IMAGE = `${IMAGES}/${IMAGE_ARN}`;
const MICROVMS = "/2025-09-09/microvms";
const UNKNOWN = "microvm-0f0e0d0c-0b0a-3908-8706-0504030201ff";
const MISSING = IMAGE_ARN.replace("flask", "nothing");

type Refusal = readonly [
  what: string,
  method: string,
  path: string,
  body: object | undefined,
  answer: readonly [status: number, exception: string, message: string],
];

const invalid = (message: string) => [400, "ValidationException", message] as const;
const missing = (message: string) => [404, "ResourceNotFoundException", message] as const;
const create = (changes: object) => ({ name: "second", ...CONFIGURATION, ...changes });
const run = (changes: object) => ({ ...image, ...changes });

/** With the image "flask", which has no hooks. */
const refusals: readonly Refusal[] = [
  ["a name in use", "POST", IMAGES, create({ name: "flask" }), invalid("A MicroVM image with the name 'flask' already exists in this account")],
  ["an image that is missing", "GET", `${IMAGES}/${MISSING}`, undefined, missing(`MicroVMImage not found for MicroVMImageID: ${MISSING}`)],
  ["a version that is missing", "GET", `${IMAGE}/versions/9.0`, undefined, missing(`MicroVMImage not found for MicroVMImage: ${IMAGE_ARN}, Version: 9.0`)],
  ["a microVM that is missing", "GET", `${MICROVMS}/${UNKNOWN}`, undefined, missing(`MicroVM not found: ${UNKNOWN}`)],
  ["running an image that is missing", "POST", MICROVMS, { imageIdentifier: MISSING }, missing(`No active version found for MicroVM image ${MISSING}`)],
  ["running a version that is missing", "POST", MICROVMS, run({ imageVersion: "7" }), missing(`No active version found for MicroVM image ${IMAGE_ARN} and version 7`)],
  ["a base version that is missing", "POST", IMAGES, create({ baseImageVersion: "0.0" }), invalid(`No managed MicroVM Image with arn ${BASE_ARN} and version 0.0 is available`)],
  ["a memory size that is none", "POST", IMAGES, create({ resources: [{ minimumMemoryInMiB: 1000 }] }), invalid(`The requested memory size of 1000 MiB is not supported by base MicroVM image ${BASE_ARN}. Supported memory sizes in MiB are: [512, 1024, 2048, 4096, 8192].`)],
  ["a reserved variable", "POST", IMAGES, create({ environmentVariables: { AWS_REGION: "x" } }), invalid("Environment variable key 'AWS_REGION' is reserved")],
  ["a payload without a run hook", "POST", MICROVMS, run({ runHookPayload: "x" }), invalid("The run hook must be enabled in the MicroVM image to pass the run hook payload.")],
  ["a payload that is too long", "POST", MICROVMS, run({ runHookPayload: "x".repeat(4097) }), invalid("1 validation error detected: Value at 'runHookPayload' failed to satisfy constraint: Member must have length less than or equal to 4096")],
  ["logging without a role", "POST", MICROVMS, run({ logging: { cloudWatch: {} } }), invalid("Logging cannot be enabled without providing executionRoleArn")],
  ["a connector's bare name", "POST", MICROVMS, run({ ingressNetworkConnectors: ["HTTP_INGRESS"] }), invalid("Malformed network connector ARN")],
  ["an idle policy without a member", "POST", MICROVMS, run({ idlePolicy: { maxIdleDurationSeconds: 60, suspendedDurationSeconds: 0 } }), invalid("1 validation error detected: Value null at 'idlePolicy.autoResumeEnabled' failed to satisfy constraint: Member must not be null")],
  ["too large a page", "GET", `${MICROVMS}?maxResults=51`, undefined, invalid("1 validation error detected: Value '51' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 50")],
  ["deleting the only version", "DELETE", `${IMAGE}/versions/1.0`, undefined, invalid("This is the last version. Please delete the entire image")],
]; // prettier-ignore

describe("the service's words", () => {
  for (const [what, method, path, body, [status, exception, message]] of refusals)
    it(`for ${what}`, async () => {
      await using it = await setUp();
      await it.create();
      const raw = { method, path, ...(body && { body: JSON.stringify(body) }) };
      const answer = await sendSigned(it.harness, raw);
      assert.deepEqual([answer.status, answer.headers["x-amzn-errortype"]], [status, exception]);
      const nulls = status === 404 ? { resourceId: null, resourceType: null } : {};
      assert.deepEqual(JSON.parse(answer.body), { message, ...nulls });
    });

  it("for a runtime hook without the ready hook have a second sentence", async () => {
    await using it = await setUp();
    const hooks = { port: 9000, microvmHooks: { run: "ENABLED" } };
    const raw = { method: "POST", path: IMAGES, body: JSON.stringify(create({ hooks })) };
    const { status, body } = await sendSigned(it.harness, raw);
    assert.equal(status, 400);
    const { message } = JSON.parse(body) as { message: string };
    const first =
      "The ready (/ready) MicroVM image hook must be enabled when any MicroVM lifecycle hook (run, resume, suspend, or terminate) is enabled. ";
    assert.ok(message.startsWith(first), message);
    assert.match(
      message.slice(first.length),
      /^The ready hook tells .*initialization has finished.*snapshot.*ready state\.$/,
    );
  });

  it("for images that are built, emptied or in use", async () => {
    await using it = await setUp();
    const send = async (method: string, path: string, body?: object) => {
      const raw = { method, path, ...(body && { body: JSON.stringify(body) }) };
      const answer = await sendSigned(it.harness, raw);
      return [answer.status, (JSON.parse(answer.body) as { message: string }).message];
    };
    const release = it.hold("build");
    const creation = it.create();
    await eventually(() => it.host.count("build") === 1);
    const cannotDelete = `Cannot delete MicroVM image in its current state: ${IMAGE_ARN}`;
    assert.deepEqual(await send("DELETE", IMAGE), [400, cannotDelete]);
    assert.deepEqual(await send("PUT", IMAGE, CONFIGURATION), [
      400,
      "Cannot update MicroVM Image in its current state",
    ]);
    release();
    await creation;
    await it.lambda.send(new RunMicrovmCommand(image));
    assert.deepEqual(await send("DELETE", IMAGE), [
      400,
      "Cannot delete microvm image with running microvms.",
    ]);
    const again = it.hold("build");
    const update = it.update();
    await eventually(() => it.host.count("build") === 2);
    assert.deepEqual(await send("PATCH", `${IMAGE}/versions/1.0`, { status: "INACTIVE" }), [
      409,
      "MicroVM Image is already in state: UPDATING",
    ]);
    again();
    await update;
    await assert.rejects(it.lambda.send(new DeleteMicrovmImageCommand(image)));
  });

  it("look at the form of a request before the image it names", async () => {
    await using it = await setUp();
    const body = JSON.stringify({ imageIdentifier: "flask", runHookPayload: "x".repeat(4097) });
    const raw = { method: "POST", path: MICROVMS, body };
    assert.match((await sendSigned(it.harness, raw)).body, /'runHookPayload'/);
    const bare = JSON.stringify({ imageIdentifier: "flask", runHookPayload: "x" });
    assert.match((await sendSigned(it.harness, { ...raw, body: bare })).body, /Malformed ARN/);
  });
});
