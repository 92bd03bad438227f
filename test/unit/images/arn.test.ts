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
      "arn:aws:lambda:us-east-1:000000000000:microvm-image/app",
      "microvm-image/app",
    ]) {
      const arn = foreign.replace(/^microvm/, "arn:aws:lambda:us-east-1:000000000000:microvm");
      assert.throws(() => parseImageArn(SCOPE, foreign, "GetMicrovmImage"), {
        code: "ACCESS_DENIED",
        message: `User: arn:aws:iam::000000000000:root is not authorized to perform: lambda:GetMicrovmImage on resource: ${arn} because no identity-based policy allows the lambda:GetMicrovmImage action`,
        details: { textMember: "Message" },
      });
    }
    assert.throws(() => parseImageArn(SCOPE, "microvm-image/app", "RunMicrovm"), {
      message: "Malformed ARN - doesn't start with 'arn:'",
    });
  });

  test("does not find images of other regions and partitions", () => {
    for (const elsewhere of [
      "arn:aws:lambda:eu-west-1:000000000000:microvm-image:app",
      "arn:aws-cn:lambda:us-east-1:000000000000:microvm-image:app",
    ]) {
      assert.throws(() => parseImageArn(SCOPE, elsewhere, "GetMicrovmImage"), {
        code: "NOT_FOUND",
        message: `MicroVMImage not found for MicroVMImageID: ${elsewhere}`,
      });
      assert.throws(() => parseImageArn(SCOPE, elsewhere, "RunMicrovm"), {
        code: "NOT_FOUND",
        message: `No active version found for MicroVM image ${elsewhere}`,
      });
    }
  });
});

test("canonicalVersion completes a bare number and leaves the rest", () => {
  assert.equal(canonicalVersion("3"), "3.0");
  assert.equal(canonicalVersion("3.0"), "3.0");
  assert.equal(canonicalVersion("x"), "x");
});
