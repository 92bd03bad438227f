import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { canonicalVersion, imageArnOf, parseImageArn } from "../../../src/images/arn.ts";
import { SCOPE } from "../../fixtures/domain-records.ts";

const ARN = "arn:aws:lambda:us-east-1:000000000000:microvm-image:my_App-1";

describe("parseImageArn", () => {
  test("reads what imageArnOf writes", () => {
    assert.equal(imageArnOf(SCOPE, "my_App-1"), ARN);
    assert.deepEqual(parseImageArn(SCOPE, ARN, "RunMicrovm"), {
      ...SCOPE,
      name: "my_App-1",
      imageArn: ARN,
    });
  });

  test("refuses a bare name in the words of each operation", () => {
    assert.throws(() => parseImageArn(SCOPE, "app", "RunMicrovm"), {
      code: "VALIDATION_FAILED",
      message: "Malformed ARN - doesn't start with 'arn:'",
    });
    assert.throws(() => parseImageArn(SCOPE, "app", "DeleteMicrovmImage"), {
      code: "VALIDATION_FAILED",
      message: "Invalid ARN format: app",
    });
  });

  test("refuses every other malformed identifier", () => {
    for (const bad of [
      "",
      "arn",
      "arn:",
      "arn:aws",
      "arn:aws:lambda",
      "arn:aws:lambda:us-east-1",
      "arn:aws:lambda:us-east-1:000000000000",
      "arn:aws:lambda:us-east-1:000000000000:",
      "arn:aws:lambda:us-east-1:000000000000:microvm-image:",
      "arn:aws:lambda:us-east-1:000000000000:microvm-image:a:b",
      "arn:aws:lambda:us-east-1:000000000000:microvm-image:../../etc",
      "arn:aws:lambda:us-east-1:000000000000:function:app",
      "arn:aws:s3:us-east-1:000000000000:microvm-image:app",
    ]) {
      for (const action of ["RunMicrovm", "GetMicrovmImage"] as const) {
        const refusal = { code: "VALIDATION_FAILED" };
        assert.throws(() => parseImageArn(SCOPE, bad, action), refusal, bad);
      }
    }
  });

  test("denies foreign images and the slash spelling, naming action and resource", () => {
    for (const foreign of [
      "arn:aws:lambda:us-east-1:111111111111:microvm-image:app",
      "arn:aws:lambda:eu-west-1:000000000000:microvm-image:app",
      "arn:aws:lambda:us-east-1:000000000000:microvm-image/app",
    ]) {
      assert.throws(() => parseImageArn(SCOPE, foreign, "GetMicrovmImage"), {
        code: "ACCESS_DENIED",
        message: `User is not authorized to perform: lambda:GetMicrovmImage on resource: ${foreign}`,
      });
    }
  });
});

test("canonicalVersion completes a bare number and leaves the rest", () => {
  assert.equal(canonicalVersion("3"), "3.0");
  assert.equal(canonicalVersion("3.0"), "3.0");
  assert.equal(canonicalVersion("x"), "x");
});
