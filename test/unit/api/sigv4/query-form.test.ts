// Presigned requests, made by the AWS SDK's signer.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { peekService, verifySignature } from "../../../../src/api/sigv4.ts";
import { isServiceError } from "../../../../src/errors.ts";
import { ACCOUNT, deps, KEY, NOW, presigned } from "./signer.ts";

const forS3 = { service: "s3" };
const unsignedPayload = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };

function refusedAs(wireCode: string, message: RegExp) {
  return (error: unknown) => {
    assert.ok(isServiceError(error, "ACCESS_DENIED"), String(error));
    assert.equal(error.details["wireCode"], wireCode);
    assert.match(error.message, message);
    return true;
  };
}

describe("verifySignature of a presigned query", () => {
  it("accepts S3 requests whose body is not signed", async () => {
    const path = "/bucket/a%20key";
    const request = await presigned({ path, headers: unsignedPayload, query: { a: "" } }, forS3);
    assert.equal(peekService(request), "s3");
    const { payload, account } = verifySignature(deps, request);
    assert.equal(account, ACCOUNT);
    assert.deepEqual(payload, { kind: "unsigned" });
  });

  it("accepts requests of other services", async () => {
    const request = await presigned({ query: { Action: "GetCallerIdentity" } }, { service: "sts" });
    assert.equal(verifySignature(deps, request).service, "sts");
  });

  it("refuses a changed parameter, method and signature", async () => {
    const request = await presigned({ path: "/b/k", headers: unsignedPayload }, forS3);
    for (const changed of [
      { ...request, url: request.url.replace("X-Amz-Expires=600", "X-Amz-Expires=601") },
      { ...request, method: "PUT" },
      { ...request, url: request.url.replace("/b/k", "/b/l") },
      { ...request, url: `${request.url}&versionId=1` },
      { ...request, url: request.url.replace(/X-Amz-Signature=./, "X-Amz-Signature=g") },
    ])
      assert.throws(
        () => verifySignature(deps, changed),
        refusedAs("SignatureDoesNotMatch", /does not match/),
      );
  });

  it("lives as long as it says", async () => {
    const unsigned = { path: "/b/k", headers: unsignedPayload };
    const still = await presigned(unsigned, { ...forS3, signedAt: NOW - 600_000 });
    verifySignature(deps, still);
    const expired = await presigned(unsigned, { ...forS3, signedAt: NOW - 601_000 });
    assert.throws(
      () => verifySignature(deps, expired),
      refusedAs("AccessDenied", /^Request has expired$/),
    );
    const early = await presigned(unsigned, { ...forS3, signedAt: NOW + 901_000 });
    assert.throws(
      () => verifySignature(deps, early),
      refusedAs("AccessDenied", /^Request is not valid yet$/),
    );
  });

  it("refuses more than seven days, none, and what is no number", async () => {
    const request = await presigned({ path: "/b/k", headers: unsignedPayload }, forS3);
    for (const expires of ["604801", "0", "", "-1", "1e3"]) {
      const url = request.url.replace("X-Amz-Expires=600", `X-Amz-Expires=${expires}`);
      assert.throws(
        () => verifySignature(deps, { ...request, url }),
        refusedAs("AuthorizationQueryParametersError", /X-Amz-Expires/),
      );
    }
  });

  it("refuses missing and repeated parameters", async () => {
    const request = await presigned({ path: "/b/k", headers: unsignedPayload }, forS3);
    for (const name of ["X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"]) {
      const missing = request.url.replace(new RegExp(`${name}=[^&]*&?`), "");
      assert.throws(
        () => verifySignature(deps, { ...request, url: missing }),
        refusedAs("AuthorizationQueryParametersError", new RegExp(name)),
      );
      assert.throws(
        () => verifySignature(deps, { ...request, url: `${request.url}&${name}=x` }),
        refusedAs("AuthorizationQueryParametersError", new RegExp(name)),
      );
    }
  });

  it("refuses a header of S3 that was added to it", async () => {
    const request = await presigned({ path: "/b/k", headers: unsignedPayload }, forS3);
    const headers = { ...request.headers, "x-amz-copy-source": "/b/other" };
    assert.throws(
      () => verifySignature(deps, { ...request, headers }),
      refusedAs("AccessDenied", /not signed: x-amz-copy-source/),
    );
  });

  it("refuses a second signature in the header", async () => {
    const request = await presigned({ path: "/b/k", headers: unsignedPayload }, forS3);
    const headers = { ...request.headers, authorization: "AWS4-HMAC-SHA256 x" };
    assert.throws(
      () => verifySignature(deps, { ...request, headers }),
      (error) => isServiceError(error, "ACCESS_DENIED") && /Only one auth/.test(error.message),
    );
  });

  it("refuses a session token", async () => {
    const credentials = { ...KEY, sessionToken: "token" };
    const unsigned = { path: "/b/k", headers: unsignedPayload };
    const request = await presigned(unsigned, { ...forS3, credentials });
    assert.throws(
      () => verifySignature(deps, request),
      refusedAs("InvalidToken", /security token/),
    );
  });
});
