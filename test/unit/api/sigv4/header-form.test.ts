// Signatures in the Authorization header, made by the AWS SDK's signer.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  payloadMatches,
  peekService,
  verifySignature,
  type SignedRequest,
} from "../../../../src/api/sigv4.ts";
import { isServiceError } from "../../../../src/errors.ts";
import { ACCOUNT, deps, KEY, NOW, signed } from "./signer.ts";

const MINUTE_MS = 60_000;

function refusedAs(exception: string, message?: RegExp, wireCode = exception) {
  return (error: unknown) => {
    assert.ok(isServiceError(error, "ACCESS_DENIED"), String(error));
    assert.equal(error.details["exception"], exception);
    assert.equal(error.details["wireCode"], wireCode);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  };
}

describe("verifySignature of a signed header", () => {
  it("tells who signed, for which region and service", async () => {
    const request = await signed({ path: "/2025-09-09/microvms" });
    const { payload, ...caller } = verifySignature(deps, request);
    assert.deepEqual(caller, {
      ...{ accessKeyId: KEY.accessKeyId, account: ACCOUNT },
      ...{ region: "eu-west-1", service: "lambda" },
    });
    assert.equal(payload.kind, "hash");
    assert.equal(payloadMatches(payload, Buffer.alloc(0)), true);
    assert.equal(payloadMatches(payload, Buffer.from("x")), false);
  });

  const paths = [
    "/",
    "/a/b/",
    "/2025-09-09/microvm-images/arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Amicrovm-image%3Aflask",
    "/a/./b/../c",
    "//a//b",
    "/with%20space/%C3%A9/%25",
  ];
  for (const path of paths)
    for (const service of ["lambda", "s3"])
      it(`accepts path ${path} of ${service}`, async () => {
        const request = await signed({ path }, { service });
        assert.equal(verifySignature(deps, request).service, service);
      });

  it("accepts characters that a client of REST services left unescaped", async () => {
    for (const path of ["/images/arn:aws:lambda:eu-west-1:1:microvm-image:flask", "/it's(a)*star!"])
      verifySignature(deps, await signed({ path }));
  });

  it("accepts empty, repeated and special query values", async () => {
    const query = { empty: "", list: ["b", "a", ""], "sp ace": "x+y=z&/?é", Z: "1", a: "~-._" };
    const request = await signed({ query });
    assert.equal(verifySignature(deps, request).account, ACCOUNT);
    assert.equal(
      verifySignature(deps, { ...request, url: request.url.replace("empty=", "empty") }).account,
      ACCOUNT,
    );
  });

  it("accepts header values with inner blanks and mixed-case names", async () => {
    const request = await signed({ headers: { "X-Amz-Meta-Note": "  two   blanks\there " } });
    assert.equal(verifySignature(deps, request).account, ACCOUNT);
  });

  it("joins repeated raw headers with commas", async () => {
    const request = await signed({ headers: { "x-amz-meta-list": "one,two" } });
    const rest = Object.entries(request.headers).filter(([name]) => name !== "x-amz-meta-list");
    const headers = [...rest.flat(), "X-Amz-Meta-List", "one", "x-amz-meta-list", " two "];
    assert.equal(verifySignature(deps, { ...request, headers }).account, ACCOUNT);
    const swapped = [...rest.flat(), "X-Amz-Meta-List", "two", "x-amz-meta-list", "one"];
    assert.throws(
      () => verifySignature(deps, { ...request, headers: swapped }),
      refusedAs("InvalidSignatureException"),
    );
  });

  it("hashes the body itself when the client does not name its hash", async () => {
    const body = '{"imageIdentifier":"x"}';
    const request = await signed({ method: "POST", body }, { applyChecksum: false });
    assert.equal(request.headers["x-amz-content-sha256"], undefined);
    const { payload } = verifySignature(deps, { ...request, body: Buffer.from(body) });
    assert.equal(payloadMatches(payload, Buffer.from(body)), true);
    assert.throws(
      () => verifySignature(deps, { ...request, body: Buffer.from(`${body} `) }),
      refusedAs("InvalidSignatureException", /does not match/),
    );
  });

  it("refuses a body that is not the one whose hash was named", async () => {
    const request = await signed({ method: "POST", body: "signed" });
    const { payload } = verifySignature(deps, request);
    assert.equal(payloadMatches(payload, Buffer.from("other")), false);
    assert.throws(
      () => verifySignature(deps, { ...request, body: Buffer.from("other") }),
      refusedAs("InvalidSignatureException"),
    );
  });

  it("refuses UNSIGNED-PAYLOAD outside S3", async () => {
    const headers = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };
    const request = await signed({ method: "POST", body: "{}", headers });
    const body = Buffer.from("{}");
    assert.throws(
      () => verifySignature(deps, { ...request, body }),
      refusedAs("InvalidSignatureException"),
    );
    const forS3 = await signed({ method: "PUT", body: "{}", headers }, { service: "s3" });
    assert.deepEqual(verifySignature(deps, forS3).payload, { kind: "unsigned" });
  });
});

type Change = (request: SignedRequest & { headers: Record<string, string> }) => SignedRequest;

const withHeader =
  (name: string, change: (value: string) => string): Change =>
  (request) => ({
    ...request,
    headers: { ...request.headers, [name]: change(request.headers[name] ?? "") },
  });

const tampered: Record<string, Change> = {
  method: (request) => ({ ...request, method: "DELETE" }),
  path: (request) => ({ ...request, url: request.url.replace("/a", "/b") }),
  query: (request) => ({ ...request, url: `${request.url}&x=1` }),
  host: withHeader("host", () => "elsewhere"),
  "signed header": withHeader("x-amz-meta-a", () => "2"),
  region: withHeader("authorization", (value) => value.replace("eu-west-1", "us-east-1")),
  signature: withHeader("authorization", (value) =>
    value.replace(/.$/, (c) => (c === "0" ? "1" : "0")),
  ),
  "signature length": withHeader("authorization", (value) => value.slice(0, -1)),
};

describe("verifySignature of a changed request", () => {
  for (const [what, change] of Object.entries(tampered))
    for (const [service, wireCode] of [
      ["lambda", "InvalidSignatureException"],
      ["s3", "SignatureDoesNotMatch"],
    ])
      it(`refuses another ${what} for ${service}`, async () => {
        const unsigned = { path: "/a", query: { q: "1" }, headers: { "x-amz-meta-a": "1" } };
        const request = await signed(unsigned, { service: service ?? "" });
        assert.throws(
          () => verifySignature(deps, change(request)),
          refusedAs("InvalidSignatureException", /does not match/, wireCode),
        );
      });

  it("refuses a header that was added without being signed", async () => {
    const request = await signed({});
    const headers = { ...request.headers, "x-amz-extra": "1" };
    assert.throws(
      () => verifySignature(deps, { ...request, headers }),
      refusedAs("InvalidSignatureException", /'x-amz-extra' must be a 'SignedHeader'/),
    );
  });

  it("refuses a signature that does not cover the host", async () => {
    const request = await signed({});
    const headers = {
      ...request.headers,
      authorization: (request.headers["authorization"] ?? "").replace("host;", ""),
    };
    assert.throws(
      () => verifySignature(deps, { ...request, headers }),
      refusedAs("InvalidSignatureException", /'host' must be/),
    );
  });

  it("refuses another secret, an unknown key and a session token", async () => {
    const { accessKeyId, secretAccessKey } = KEY;
    const wrongSecret = await signed({}, { credentials: { accessKeyId, secretAccessKey: "no" } });
    assert.throws(() => verifySignature(deps, wrongSecret), refusedAs("InvalidSignatureException"));
    const unknown = await signed({}, { credentials: { accessKeyId: "AKIAX", secretAccessKey } });
    assert.throws(
      () => verifySignature(deps, unknown),
      refusedAs("UnrecognizedClientException", /security token .* invalid/),
    );
    const withToken = await signed({}, { credentials: { ...KEY, sessionToken: "token" } });
    assert.throws(
      () => verifySignature(deps, withToken),
      refusedAs("UnrecognizedClientException", /security token .* invalid/),
    );
  });
});

describe("verifySignature and time", () => {
  it("accepts clocks that differ by 5 minutes, and by 15 for other services", async () => {
    for (const [service, minutes] of [
      ["lambda", 5],
      ["sts", 15],
      ["s3", 15],
    ] as const)
      for (const skew of [minutes * MINUTE_MS, -minutes * MINUTE_MS])
        verifySignature(deps, await signed({}, { service, signedAt: NOW + skew }));
  });

  it("refuses an old signature", async () => {
    const request = await signed({}, { signedAt: NOW - 5 * MINUTE_MS - 1000 });
    assert.throws(
      () => verifySignature(deps, request),
      refusedAs(
        "InvalidSignatureException",
        /^Signature expired: 20261001T115459Z is now earlier than 20261001T115500Z \(20261001T120000Z - 5 min\.\)$/,
      ),
    );
  });

  it("refuses a signature from the future", async () => {
    const request = await signed({}, { signedAt: NOW + 5 * MINUTE_MS + 1000 });
    assert.throws(
      () => verifySignature(deps, request),
      refusedAs(
        "InvalidSignatureException",
        /^Signature not yet current: 20261001T120501Z is still later than 20261001T120500Z \(20261001T120000Z \+ 5 min\.\)$/,
      ),
    );
  });

  it("names S3's own refusal", async () => {
    const signedAt = NOW - 16 * MINUTE_MS;
    const request = await signed({}, { service: "s3", signedAt });
    assert.throws(
      () => verifySignature(deps, request),
      refusedAs("InvalidSignatureException", /too large/, "RequestTimeTooSkewed"),
    );
  });

  it("refuses a scope of another day", async () => {
    const request = await signed({});
    const authorization = (request.headers["authorization"] ?? "").replace("20261001", "20261002");
    assert.throws(
      () => verifySignature(deps, { ...request, headers: { ...request.headers, authorization } }),
      refusedAs("InvalidSignatureException", /^Date in Credential scope does not match/),
    );
  });
});

describe("verifySignature of a malformed header", () => {
  const credential = `Credential=${KEY.accessKeyId}/20261001/eu-west-1/lambda/aws4_request`;
  const cases: [string, string, RegExp][] = [
    ["no credential", "SignedHeaders=host, Signature=ab", /requires 'Credential'/],
    ["no signed headers", `${credential}, Signature=ab`, /requires 'SignedHeaders'/],
    ["no signature", `${credential}, SignedHeaders=host`, /requires 'Signature'/],
    ["a short scope", "Credential=AKIA/20261001/x, SignedHeaders=host, Signature=ab", /exactly 5/],
    [
      "two credentials",
      `${credential}, ${credential}, SignedHeaders=host, Signature=ab`,
      /'Credential' was given twice/,
    ],
    ["empty header names", `${credential}, SignedHeaders=;;, Signature=ab`, /cannot be read/],
    [
      "a huge header",
      `${credential}, SignedHeaders=host, Signature=${"a".repeat(5000)}`,
      /too long/,
    ],
  ];
  for (const [what, rest, message] of cases)
    it(`refuses ${what}`, () => {
      const headers = {
        host: "x",
        "x-amz-date": "20261001T120000Z",
        authorization: `AWS4-HMAC-SHA256 ${rest}`,
      };
      assert.throws(
        () => verifySignature(deps, { method: "GET", url: "/", headers }),
        refusedAs("IncompleteSignatureException", message),
      );
    });

  it("refuses a request with no date", async () => {
    const { headers: all } = await signed({});
    const headers = { ...all, "x-amz-date": undefined };
    assert.throws(
      () => verifySignature(deps, { method: "GET", url: "/", headers }),
      refusedAs("IncompleteSignatureException", /'X-Amz-Date' or a 'Date'/),
    );
  });

  it("refuses no signature, another algorithm and version 2", () => {
    const request = { method: "GET", url: "/", headers: { host: "x" } };
    assert.throws(
      () => verifySignature(deps, request),
      refusedAs("MissingAuthenticationTokenException"),
    );
    for (const [authorization, wireCode] of [
      ["AWS4-ECDSA-P256-SHA256 Credential=a", "IncompleteSignatureException"],
      ["AWS AKIA:sig", "InvalidRequest"],
    ])
      assert.throws(
        () => verifySignature(deps, { ...request, headers: { authorization } }),
        refusedAs("IncompleteSignatureException", /not supported/, wireCode),
      );
  });

  it("refuses broken escapes in path and query", async () => {
    const request = await signed({}, { service: "s3" });
    for (const url of ["/%zz", "/?a=%e"])
      assert.throws(
        () => verifySignature(deps, { ...request, url }),
        (error) => isServiceError(error, "ACCESS_DENIED"),
      );
  });
});

describe("peekService", () => {
  it("names the service of a signed header and of version 2", async () => {
    for (const service of ["lambda", "s3", "sts"])
      assert.equal(peekService(await signed({}, { service })), service);
    assert.equal(peekService({ url: "/", headers: { authorization: "AWS a:b" } }), "s3");
    assert.equal(peekService({ url: "/b?AWSAccessKeyId=a&Signature=b", headers: {} }), "s3");
  });

  it("names none for an unsigned or unreadable request", () => {
    assert.equal(peekService({ url: "/", headers: {} }), undefined);
    assert.equal(peekService({ url: "/?X-Amz-Credential=%", headers: {} }), undefined);
    assert.equal(peekService({ url: "/", headers: { authorization: "Bearer x" } }), undefined);
  });
});
