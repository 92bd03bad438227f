import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as sdk from "@aws-sdk/client-lambda-microvms";
import { type ErrorCode, ServiceError } from "../../../src/errors.ts";
import { IMAGE_ARN, MICROVM_ID } from "../../unit/api/fixtures.ts";
import { type Harness, sendSigned, startHarness } from "./harness.ts";

let harness: Harness;
let failure: unknown;
before(async () => {
  const fail = () => Promise.reject(failure as Error);
  harness = await startHarness({ microvms: { run: fail, get: fail } });
});
after(() => harness[Symbol.asyncDispose]());

const run = () => harness.lambda.send(new sdk.RunMicrovmCommand({ imageIdentifier: IMAGE_ARN }));

async function failureOf(promise: Promise<unknown>): Promise<sdk.LambdaMicrovmsServiceException> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof sdk.LambdaMicrovmsServiceException, String(error));
  return error;
}

describe("a failure of the domain", () => {
  const classes = {
    VALIDATION_FAILED: [sdk.ValidationException, 400],
    ACCESS_DENIED: [sdk.AccessDeniedException, 403],
    NOT_FOUND: [sdk.ResourceNotFoundException, 404],
    CONFLICT: [sdk.ConflictException, 409],
    QUOTA_EXCEEDED: [sdk.ServiceQuotaExceededException, 402],
    THROTTLED: [sdk.ThrottlingException, 429],
    NO_CAPACITY: [sdk.InsufficientCapacityException, 500],
  } as const;
  for (const [code, [exception, status]] of Object.entries(classes))
    it(`${code} reaches the SDK as ${exception.name}`, async () => {
      failure = new ServiceError(code as ErrorCode, `Message of ${code}`);
      const error = await failureOf(run());
      assert.ok(error instanceof exception);
      assert.equal(error.name, exception.name);
      assert.equal(error.message, `Message of ${code}`);
      assert.equal(error.$metadata.httpStatusCode, status);
      assert.match(error.$metadata.requestId ?? "", /^[0-9a-f-]{36}$/);
    });

  it("a throttled caller learns when to come back", async () => {
    failure = new ServiceError("THROTTLED", "Slow down", { details: { retryAfterSeconds: 3 } });
    const error = await failureOf(run());
    assert.ok(error instanceof sdk.ThrottlingException);
    assert.equal(Number(error.retryAfterSeconds), 3);
  });

  it("a bug shows nothing of itself but its request id, which the log has too", async () => {
    failure = new TypeError("Cannot read /var/lib/secret");
    const error = await failureOf(run());
    assert.ok(error instanceof sdk.InternalServerException);
    assert.equal(error.$metadata.httpStatusCode, 500);
    assert.ok(!error.message.includes("secret"));
    const line = harness.logged.find((entry) => entry.includes("Cannot read /var/lib/secret"));
    assert.ok(line?.includes(error.$metadata.requestId ?? "no id"));
  });

  it("a missing microVM answers the recorded body", async () => {
    failure = new ServiceError("NOT_FOUND", `MicroVM not found: ${MICROVM_ID}`);
    const path = `/2025-09-09/microvms/${MICROVM_ID}`;
    const { status, headers, body } = await sendSigned(harness, { method: "GET", path });
    assert.equal(status, 404);
    assert.equal(headers["x-amzn-errortype"], "ResourceNotFoundException");
    assert.deepEqual(JSON.parse(body), {
      message: `MicroVM not found: ${MICROVM_ID}`,
      resourceId: null,
      resourceType: null,
    });
  });
});

describe("a request that breaks constraints", () => {
  it("is refused before the domain hears of it", async () => {
    failure = new Error("must not be asked");
    const error = await failureOf(
      harness.lambda.send(
        new sdk.RunMicrovmCommand({ imageIdentifier: IMAGE_ARN, runHookPayload: "x".repeat(4097) }),
      ),
    );
    assert.ok(error instanceof sdk.ValidationException);
    assert.equal(
      error.message,
      "1 validation error detected: Value at 'runHookPayload' failed to satisfy constraint: Member must have length less than or equal to 4096",
    );
  });

  it("keeps its payload out of the log", async () => {
    const runHookPayload = `${"x".repeat(4097)}hunter2`;
    await failureOf(
      harness.lambda.send(new sdk.RunMicrovmCommand({ imageIdentifier: "a", runHookPayload })),
    );
    assert.ok(!harness.logged.some((line) => line.includes("hunter2")));
  });
});

describe("a request that cannot be read", () => {
  const post = (body: string | Uint8Array) =>
    sendSigned(harness, { method: "POST", path: "/2025-09-09/microvms", body });
  const unreadable = {
    "malformed JSON": '{"imageIdentifier": ',
    "a list": "[]",
    "a string": '"x"',
    "a bare null": "null",
    "invalid UTF-8": Buffer.from('{"imageIdentifier":"\xff"}', "latin1"),
    "unfinished deep nesting": "[".repeat(500_000),
    "deep nesting": `${"[".repeat(500_000)}${"]".repeat(500_000)}`,
  };
  for (const [what, body] of Object.entries(unreadable))
    it(`${what} is answered with an empty message`, async () => {
      const response = await post(body);
      assert.equal(response.status, 400);
      assert.equal(response.headers["x-amzn-errortype"], "SerializationException");
      assert.equal(response.body, '{"message":null}');
    });

  it("deep nesting in a member that nobody knows is ignored", async () => {
    failure = new ServiceError("CONFLICT", "Reached the domain");
    const deep = `${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`;
    const response = await post(`{"imageIdentifier":"${IMAGE_ARN}","unknown":${deep}}`);
    assert.equal(response.status, 409);
  });

  it("a boolean for allPorts is answered as the service does", async () => {
    const response = await sendSigned(harness, {
      method: "POST",
      path: `/2025-09-09/microvms/${MICROVM_ID}/auth-token`,
      body: JSON.stringify({ expirationInMinutes: 5, allowedPorts: [{ allPorts: true }] }),
    });
    assert.equal(response.status, 400);
    assert.equal(response.body, '{"Message":"Expected null"}');
  });

  it("of duplicate members the last counts", async () => {
    failure = new ServiceError("CONFLICT", "Reached the domain");
    const response = await post(`{"imageIdentifier":1,"imageIdentifier":"${IMAGE_ARN}"}`);
    assert.equal(response.status, 409);
  });
});

describe("paths and methods", () => {
  it("an unknown path is 404 and a known path with another method 405", async () => {
    const unknown = await sendSigned(harness, { method: "GET", path: "/2015-03-31/functions" });
    assert.equal(unknown.status, 404);
    assert.equal(unknown.headers["x-amzn-errortype"], "UnknownOperationException");
    const other = await sendSigned(harness, { method: "PATCH", path: "/2025-09-09/microvms" });
    assert.equal(other.status, 405);
    assert.equal(other.headers["allow"], "POST, GET");
    const head = await sendSigned(harness, { method: "HEAD", path: "/2025-09-09/microvms" });
    assert.deepEqual([head.status, head.body], [405, ""]);
  });

  it("an ARN may be sent with raw or encoded colons and a trailing slash", async () => {
    harness.calls.length = 0;
    for (const spelling of [IMAGE_ARN, encodeURIComponent(IMAGE_ARN), `${IMAGE_ARN}/`])
      await sendSigned(harness, { method: "GET", path: `/2025-09-09/microvm-images/${spelling}` });
    assert.deepEqual(harness.calls, [
      ["get", IMAGE_ARN],
      ["get", IMAGE_ARN],
      ["get", IMAGE_ARN],
    ]);
  });
});
