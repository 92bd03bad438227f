import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkArtifactSize, parseArtifactUri } from "../../../src/artifacts/artifact-uri.ts";
import { isServiceError } from "../../../src/errors.ts";

const isInvalid = (error: unknown) =>
  isServiceError(error, "BUILD_FAILED") && error.details["reasonCode"] === "S3_INVALID_OBJECT";

describe("parseArtifactUri", () => {
  it("splits bucket and key at the first slash", () => {
    assert.deepEqual(parseArtifactUri("s3://b/k"), { bucket: "b", key: "k" });
    assert.deepEqual(parseArtifactUri("s3://b/dir//../ü k%2F\n"), {
      ...{ bucket: "b", key: "dir//../ü k%2F\n" },
    });
  });

  it("refuses anything else", () => {
    for (const uri of ["", "s3://", "s3://b", "s3://b/", "s3:///k", "https://b/k", "S3://b/k"])
      assert.throws(() => parseArtifactUri(uri), isInvalid);
  });
});

describe("checkArtifactSize", () => {
  it("takes up to the limit", () => {
    checkArtifactSize("s3://b/k", 10, 10);
    assert.throws(() => checkArtifactSize("s3://b/k", 11, 10), isInvalid);
  });
});
