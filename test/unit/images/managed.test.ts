import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  checkManagedBases,
  createManagedImages,
  DEFAULT_MANAGED_IMAGES,
} from "../../../src/images/managed.ts";
import { SCOPE } from "../../fixtures/domain-records.ts";

const base = (name: string, region = "us-east-1") =>
  `arn:aws:lambda:${region}:aws:microvm-image:${name}`;
const managed = createManagedImages(DEFAULT_MANAGED_IMAGES);

describe("managed images", () => {
  test("are the same in every region", () => {
    for (const region of ["us-east-1", "eu-west-1"])
      assert.deepEqual(
        managed.list({ region }).map(({ imageArn }) => imageArn),
        [base("al2023-1", region), base("debian-12", region)],
      );
  });

  test("can be built on in every version that is listed", () => {
    for (const { imageArn } of managed.list(SCOPE))
      for (const { imageVersion } of managed.versions(SCOPE, imageArn))
        assert.equal(managed.resolveVersion(SCOPE, imageArn, imageVersion), imageVersion);
  });

  test("are those of the settings, newest version first by number", () => {
    const configured = createManagedImages({
      custom: {
        base: "debian-12",
        versions: { 9: "DEPRECATED", 10: "AVAILABLE", 2: "DEPRECATED" },
      },
    });
    assert.deepEqual(
      configured.versions(SCOPE, base("custom")).map((each) => [each.imageVersion, each.status]),
      [
        ["10", "AVAILABLE"],
        ["9", "DEPRECATED"],
        ["2", "DEPRECATED"],
      ],
    );
    assert.equal(configured.resolveVersion(SCOPE, base("custom")), "10");
    assert.equal(configured.resolveVersion(SCOPE, base("custom"), "9"), "9");
    assert.throws(() => configured.versions(SCOPE, base("al2023-1")), { code: "NOT_FOUND" });
  });

  test("must stand for a base that the host has", () => {
    checkManagedBases(DEFAULT_MANAGED_IMAGES, ["other", "debian-12"]);
    assert.throws(() => checkManagedBases(DEFAULT_MANAGED_IMAGES, ["other"]), {
      code: "SETUP_FAILED",
      message: `Cannot offer managed image "al2023-1": this host has no base "debian-12", only: other`,
    });
  });
});

describe("resolveVersion", () => {
  test("takes the newest version when none is named", () => {
    for (const name of ["al2023-1", "debian-12"])
      assert.equal(managed.resolveVersion(SCOPE, base(name)), "1");
  });

  test("refuses others in the service's words", () => {
    assert.throws(() => managed.resolveVersion(SCOPE, base("al2023-1"), "7"), {
      code: "VALIDATION_FAILED",
      message: `No managed MicroVM Image with arn ${base("al2023-1")} and version 7 is available`,
    });
    for (const bad of [base("other"), base("al2023-1", "eu-west-1"), "al2023-1"])
      assert.throws(() => managed.resolveVersion(SCOPE, bad), { code: "VALIDATION_FAILED" });
    assert.throws(() => managed.resolveVersion(SCOPE, base("al2023-1"), "1.0"), {
      code: "VALIDATION_FAILED",
    });
  });
});
