import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import {
  EDGE_EXCEPTIONS,
  jsonErrorReply,
  WIRE_EXCEPTIONS,
  wireErrorOf,
} from "../../../src/api/errors.ts";
import { serializationError } from "../../../src/api/validation.ts";
import { ERRORS, ServiceError, type ErrorCode } from "../../../src/errors.ts";

const replyTo = (error: unknown) => jsonErrorReply(wireErrorOf(error));
const bodyOf = (error: unknown): unknown => JSON.parse(replyTo(error).body);

describe("jsonErrorReply", () => {
  const shapes: readonly [ErrorCode, number, string, readonly string[]][] = [
    ["VALIDATION_FAILED", 400, "ValidationException", []],
    ["ACCESS_DENIED", 403, "AccessDeniedException", []],
    ["NOT_FOUND", 404, "ResourceNotFoundException", ["resourceId", "resourceType"]],
    ["CONFLICT", 409, "ConflictException", ["resourceId", "resourceType"]],
    ["QUOTA_EXCEEDED", 402, "ServiceQuotaExceededException", ["quotaCode", "resourceId", "resourceType", "serviceCode"]],
    ["THROTTLED", 429, "ThrottlingException", ["quotaCode", "serviceCode"]],
    ["NO_CAPACITY", 500, "InsufficientCapacityException", []],
  ]; // prettier-ignore
  for (const [code, status, name, members] of shapes)
    it(`answers ${code} with ${status} ${name}`, () => {
      const reply = replyTo(new ServiceError(code, "Said so"));
      assert.equal(reply.status, status);
      assert.equal(reply.headers["x-amzn-errortype"], name);
      const nulls = Object.fromEntries(members.map((member) => [member, null]));
      assert.deepEqual(JSON.parse(reply.body), { message: "Said so", ...nulls });
    });

  it("shows nothing of what is not a ServiceError or went wrong inside", () => {
    const secret = "/var/lib/torpor/keys";
    const causes = [
      new TypeError(secret),
      secret,
      null,
      ...(["INTERNAL", "VMM_FAILED", "SETUP_FAILED", "STORAGE_FULL"] as const).map(
        (code) => new ServiceError(code, secret),
      ),
    ];
    for (const cause of causes) {
      const reply = replyTo(cause);
      assert.equal(reply.status, 500);
      assert.equal(reply.headers["x-amzn-errortype"], "InternalServerException");
      assert.ok(!JSON.stringify(reply).includes(secret));
    }
  });

  it("tells the caller of what may pass by itself when to come back", () => {
    const retryAfter = (error: ServiceError) => replyTo(error).headers["retry-after"];
    assert.equal(retryAfter(new ServiceError("THROTTLED", "x")), "1");
    const details = { retryAfterSeconds: 2.1 };
    assert.equal(retryAfter(new ServiceError("THROTTLED", "x", { details })), "3");
    assert.equal(retryAfter(new ServiceError("NO_CAPACITY", "x", { details })), "3");
    assert.equal(retryAfter(new ServiceError("CONFLICT", "x")), undefined);
    assert.equal(retryAfter(new ServiceError("BUILD_FAILED", "x")), undefined);
    assert.equal(replyTo(new TypeError("x")).headers["retry-after"], "1");
  });

  it("answers an unreadable request with a null message", () => {
    assert.deepEqual(bodyOf(serializationError(null)), { message: null });
    assert.deepEqual(bodyOf(serializationError("Expected null")), { Message: "Expected null" });
    assert.equal(replyTo(serializationError(null)).status, 400);
  });

  it("uses an edge exception that an error names, and no other name", () => {
    const named = (exception: string) =>
      replyTo(new ServiceError("ACCESS_DENIED", "No", { details: { exception } }));
    assert.equal(named("InvalidSignatureException").status, 403);
    assert.equal(
      named("InvalidSignatureException").headers["x-amzn-errortype"],
      "InvalidSignatureException",
    );
    assert.equal(named("toString").headers["x-amzn-errortype"], "AccessDeniedException");
  });
});

interface Row {
  readonly key: string;
  readonly cells: readonly string[];
}

/** Rows of the tables of docs/errors.md whose first cell is code. */
function documentedRows(): Row[] {
  const page = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8");
  return page.split("\n").flatMap((line) => {
    const cells = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    const key = /^`(\w+)`$/.exec(cells[0] ?? "")?.[1];
    return key === undefined ? [] : [{ key, cells: cells.slice(1) }];
  });
}

describe("docs/errors.md", () => {
  const rows = documentedRows();

  it("has one line for each code, with its status, exception and retry answer", () => {
    const codes = rows.filter(({ key }) => key in ERRORS);
    assert.deepEqual(
      codes.map(({ key }) => key),
      Object.keys(ERRORS),
    );
    for (const { key, cells } of codes) {
      const code = key as ErrorCode;
      assert.deepEqual(
        cells.slice(0, 3),
        [
          String(ERRORS[code].status),
          `\`${WIRE_EXCEPTIONS[code].name}\``,
          ERRORS[code].retryable ? "yes" : "no",
        ],
        key,
      );
      assert.ok((cells[3] ?? "").length > 10, `${key} has no meaning`);
    }
  });

  it("has one line for each exception of HTTP and signatures, with its status", () => {
    const exceptions = rows.filter(({ key }) => !(key in ERRORS));
    assert.deepEqual(
      exceptions.map(({ key, cells }) => [key, cells[0]]),
      Object.entries(EDGE_EXCEPTIONS).map(([name, status]) => [name, String(status)]),
    );
    for (const { key, cells } of exceptions)
      assert.ok((cells[1] ?? "").length > 10, `${key} has no meaning`);
  });
});
