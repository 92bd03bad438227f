import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  canonicalVersion,
  checkBaseImage,
  imageArnOf,
  parseImageArn,
} from "../../../src/images/arn.ts";
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

describe("checkBaseImage", () => {
  const base = (name: string, region = "us-east-1") =>
    `arn:aws:lambda:${region}:aws:microvm-image:${name}`;

  test("knows the managed images of the region in their one version", () => {
    for (const name of ["al2023-1", "debian-12"]) {
      checkBaseImage(SCOPE, base(name), undefined);
      checkBaseImage(SCOPE, base(name), "1");
    }
  });

  test("refuses others in the service's words", () => {
    assert.throws(() => checkBaseImage(SCOPE, base("al2023-1"), "7"), {
      code: "VALIDATION_FAILED",
      message: `No managed MicroVM Image with arn ${base("al2023-1")} and version 7 is available`,
    });
    for (const bad of [base("other"), base("al2023-1", "eu-west-1"), "al2023-1", ARN])
      assert.throws(() => checkBaseImage(SCOPE, bad, undefined), { code: "VALIDATION_FAILED" });
    assert.throws(() => checkBaseImage(SCOPE, base("al2023-1"), "1.0"), {
      code: "VALIDATION_FAILED",
    });
  });
});

test("canonicalVersion completes a bare number and leaves the rest", () => {
  assert.equal(canonicalVersion("3"), "3.0");
  assert.equal(canonicalVersion("3.0"), "3.0");
  assert.equal(canonicalVersion("x"), "x");
});
