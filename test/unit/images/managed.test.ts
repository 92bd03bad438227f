import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  managedImages,
  managedImageVersions,
  resolveBaseVersion,
} from "../../../src/images/managed.ts";
import { SCOPE } from "../../fixtures/domain-records.ts";

const base = (name: string, region = "us-east-1") =>
  `arn:aws:lambda:${region}:aws:microvm-image:${name}`;

test("managedImages has the same images in every region", () => {
  for (const region of ["us-east-1", "eu-west-1"])
    assert.deepEqual(
      managedImages({ region }).map(({ imageArn }) => imageArn),
      [base("al2023-1", region), base("debian-12", region)],
    );
});

test("every version that managedImageVersions lists can be built on", () => {
  for (const { imageArn } of managedImages(SCOPE))
    for (const { imageVersion } of managedImageVersions(SCOPE, imageArn))
      assert.equal(resolveBaseVersion(SCOPE, imageArn, imageVersion), imageVersion);
});

describe("resolveBaseVersion", () => {
  test("takes the newest version when none is named", () => {
    for (const name of ["al2023-1", "debian-12"])
      assert.equal(resolveBaseVersion(SCOPE, base(name), undefined), "1");
  });

  test("refuses others in the service's words", () => {
    assert.throws(() => resolveBaseVersion(SCOPE, base("al2023-1"), "7"), {
      code: "VALIDATION_FAILED",
      message: `No managed MicroVM Image with arn ${base("al2023-1")} and version 7 is available`,
    });
    for (const bad of [base("other"), base("al2023-1", "eu-west-1"), "al2023-1"])
      assert.throws(() => resolveBaseVersion(SCOPE, bad, undefined), { code: "VALIDATION_FAILED" });
    assert.throws(() => resolveBaseVersion(SCOPE, base("al2023-1"), "1.0"), {
      code: "VALIDATION_FAILED",
    });
  });
});
