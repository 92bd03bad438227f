import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { coreErrorReply, inCoreWords, isCorePath } from "../../../src/api/core-errors.ts";
import { wireErrorOf } from "../../../src/api/errors.ts";
import { serializationError } from "../../../src/api/validation.ts";
import { type ErrorCode, ServiceError } from "../../../src/errors.ts";

const replyTo = (error: unknown) => coreErrorReply(wireErrorOf(error));

describe("coreErrorReply", () => {
  const shapes: readonly [ErrorCode, number, string, object][] = [
    ["NOT_FOUND", 404, "ResourceNotFoundException", { Message: "Said so" }],
    ["CONFLICT", 409, "ResourceConflictException", { message: "Said so" }],
    ["QUOTA_EXCEEDED", 400, "NetworkConnectorLimitExceededException", { message: "Said so" }],
    ["THROTTLED", 429, "TooManyRequestsException", { Reason: "CallerRateLimitExceeded", message: "Said so" }],
    ["VALIDATION_FAILED", 400, "ValidationException", { message: "Said so" }],
    ["ACCESS_DENIED", 403, "AccessDeniedException", { message: "Said so" }],
  ]; // prettier-ignore
  for (const [code, status, name, body] of shapes)
    it(`answers ${code} with ${status} ${name}`, () => {
      const reply = replyTo(new ServiceError(code, "Said so"));
      assert.equal(reply.status, status);
      assert.equal(reply.headers["x-amzn-errortype"], name);
      assert.deepEqual(JSON.parse(reply.body), body);
    });

  it("tells a throttled caller when to come back", () => {
    const error = new ServiceError("THROTTLED", "x", { details: { retryAfterSeconds: 2 } });
    assert.equal(replyTo(error).headers["retry-after"], "2");
  });

  it("shows nothing of what went wrong inside", () => {
    const reply = replyTo(new TypeError("/secret"));
    assert.equal(reply.status, 500);
    assert.equal(reply.headers["x-amzn-errortype"], "ServiceException");
    assert.ok(!reply.body.includes("secret"));
    const { Message } = JSON.parse(reply.body) as { Message: string };
    assert.match(Message, /internal error/);
  });
});

describe("inCoreWords", () => {
  const rejected = async (error: Error) => {
    const failure: unknown = await inCoreWords(() => Promise.reject(error)).catch(
      (thrown: unknown) => thrown,
    );
    return replyTo(failure).headers["x-amzn-errortype"];
  };

  it("gives what the domain refuses its name and leaves other failures alone", async () => {
    assert.equal(await inCoreWords(() => Promise.resolve(1)), 1);
    const refused = new ServiceError("VALIDATION_FAILED", "No");
    assert.equal(await rejected(refused), "InvalidParameterValueException");
    assert.equal(await rejected(new ServiceError("CONFLICT", "No")), "ResourceConflictException");
    assert.equal(await rejected(serializationError(null)), "SerializationException");
  });
});

it("isCorePath knows the paths of lambda-core", () => {
  for (const path of ["/2026-04-04/network-connectors", "//2026-04-04", "/2026-04-04/x/y"])
    assert.equal(isCorePath(path), true, path);
  for (const path of ["", "/", "/2025-09-09/microvms", "/x/2026-04-04"])
    assert.equal(isCorePath(path), false, path);
});
