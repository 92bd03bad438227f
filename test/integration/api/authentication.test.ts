import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  LambdaMicrovmsClient,
  LambdaMicrovmsServiceException,
  ListMicrovmsCommand,
  RunMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { IMAGE_ARN, MICROVM_ID, REGION } from "../../unit/api/fixtures.ts";
import {
  type Harness,
  KEY,
  type RawResponse,
  send,
  sendSigned,
  sign,
  startHarness,
} from "./harness.ts";

let harness: Harness;
before(async () => {
  harness = await startHarness();
});
after(() => harness[Symbol.asyncDispose]());

const MICROVMS = { method: "GET", path: "/2025-09-09/microvms" };
const MINUTE = 60_000;

function assertRefused(response: RawResponse, name: string): void {
  assert.equal(response.status, 403, response.body);
  assert.equal(response.headers["x-amzn-errortype"], name);
  assert.equal(typeof (JSON.parse(response.body) as { message: unknown }).message, "string");
  assert.deepEqual(harness.calls, []);
}

describe("a signed request", () => {
  it("is accepted from an independent signer, with query and encoded path", async () => {
    const signed = await sendSigned(harness, {
      method: "GET",
      path: `/2025-09-09/microvms?imageIdentifier=${encodeURIComponent(IMAGE_ARN)}&maxResults=1`,
    });
    assert.equal(signed.status, 200, signed.body);
    harness.calls.length = 0;
  });

  it("decides account and region by its credential scope", async () => {
    const scopes: unknown[] = [];
    await using other = await startHarness({
      microvms: {
        async list(scope) {
          scopes.push(scope);
          return { items: [], next: null };
        },
      },
    });
    await sendSigned(other, MICROVMS, { region: "eu-west-1" });
    assert.deepEqual(scopes, [{ account: "000000000000", region: "eu-west-1" }]);
  });
});

describe("a request without a good signature", () => {
  it("is refused when it has none, whatever it asks", async () => {
    for (const raw of [
      MICROVMS,
      { method: "POST", path: "/2025-09-09/microvms", body: "{}" },
      { method: "GET", path: "/nowhere" },
      { method: "POST", path: "/health" },
    ])
      assertRefused(await send(harness.port, raw), "MissingAuthenticationTokenException");
  });

  it("is refused when the secret is wrong", async () => {
    const response = await sendSigned(harness, MICROVMS, { secretAccessKey: "wrong" });
    assertRefused(response, "InvalidSignatureException");
  });

  it("is refused when the key is unknown", async () => {
    const response = await sendSigned(harness, MICROVMS, { accessKeyId: "AKIANOBODY0000000000" });
    assertRefused(response, "UnrecognizedClientException");
  });

  it("is refused with a session token, which nobody here gives out", async () => {
    const headers = { "x-amz-security-token": "FwoGZXIvYXdzEBYaD" };
    for (const key of [KEY, { ...KEY, accessKeyId: "ASIATORPOR0000000000" }]) {
      const response = await sendSigned(harness, { ...MICROVMS, headers }, key);
      assertRefused(response, "UnrecognizedClientException");
      const { message } = JSON.parse(response.body) as { message: string };
      assert.equal(message, "The security token included in the request is invalid.");
    }
  });

  for (const [what, offset] of [
    ["old", -6 * MINUTE],
    ["far ahead", 6 * MINUTE],
  ] as const)
    it(`is refused when its date is too ${what}`, async () => {
      const date = new Date(Date.now() + offset);
      assertRefused(await sendSigned(harness, MICROVMS, { date }), "InvalidSignatureException");
    });

  it("is refused when path, query, method or body were changed afterwards", async () => {
    const raw = { method: "POST", path: "/2025-09-09/microvms", body: "{}" };
    const { headers = {} } = sign(harness.port, raw);
    for (const change of [
      { path: `/2025-09-09/microvms/${MICROVM_ID}/suspend` },
      { path: "/2025-09-09/microvms?maxResults=2" },
      { method: "PUT" },
      { body: '{"imageIdentifier":"x"}' },
    ])
      assertRefused(
        await send(harness.port, { ...raw, ...change, headers }),
        "InvalidSignatureException",
      );
  });

  it("is refused when it is signed for a service that is not here", async () => {
    const response = await sendSigned(harness, MICROVMS, { service: "iam" });
    assertRefused(response, "InvalidSignatureException");
  });

  it("is refused when it names two services", async () => {
    const body = JSON.stringify({ imageIdentifier: IMAGE_ARN });
    const post = { method: "POST", path: "/2025-09-09/microvms", body };
    const { headers = {} } = sign(harness.port, post, {
      service: "s3",
      payloadHash: "UNSIGNED-PAYLOAD",
    });
    const authorization = (headers["authorization"] ?? "").replace(
      " ",
      ` Credential=${KEY.accessKeyId}/20260101/us-east-1/lambda/aws4_request, `,
    );
    const response = await send(harness.port, { ...post, headers: { ...headers, authorization } });
    assert.equal(response.status, 403, response.body);
    assert.deepEqual(harness.calls, []);
  });

  it("is refused when its region is none of those there are, as where the service is not offered", async () => {
    await using few = await startHarness({ regions: [REGION] });
    assert.equal((await sendSigned(few, MICROVMS)).status, 200);
    const response = await sendSigned(few, MICROVMS, { region: "eu-west-1" });
    assert.equal(response.headers["x-amzn-errortype"], "AccessDeniedException");
    assert.deepEqual([response.status, response.body], [403, '{"message":null}']);
  });

  it("is refused when its region could not be one", async () => {
    for (const region of ["..", "US EAST", "a".repeat(33)]) {
      const response = await sendSigned(harness, MICROVMS, { region });
      assert.equal(response.status, 403, region);
    }
    assert.deepEqual(harness.calls, []);
  });

  it("is refused when the authorization header is garbage", async () => {
    for (const authorization of [
      "AWS4-HMAC-SHA256",
      "AWS4-HMAC-SHA256 Credential=a/b",
      "Bearer x",
    ]) {
      const response = await send(harness.port, { ...MICROVMS, headers: { authorization } });
      assert.equal(response.status, 403, authorization);
    }
    assert.deepEqual(harness.calls, []);
  });
});

describe("the SDK with bad credentials", () => {
  const wrong = { ...KEY, secretAccessKey: "wrong" };

  it("sees InvalidSignatureException from the microVM service", async () => {
    const { endpoint } = harness;
    const client = new LambdaMicrovmsClient({ endpoint, region: REGION, credentials: wrong });
    const error: unknown = await client.send(new ListMicrovmsCommand({})).catch((e: unknown) => e);
    assert.ok(error instanceof LambdaMicrovmsServiceException);
    assert.equal(error.name, "InvalidSignatureException");
    assert.equal(error.$metadata.httpStatusCode, 403);
    client.destroy();
  });

  it("sees the query protocol's names from STS", async () => {
    const { endpoint } = harness;
    const client = new STSClient({ endpoint, region: REGION, credentials: wrong });
    await assert.rejects(client.send(new GetCallerIdentityCommand({})), {
      name: "SignatureDoesNotMatch",
    });
    client.destroy();
  });
});

describe("health", () => {
  it("needs no signature", async () => {
    const { status, body } = await send(harness.port, { method: "GET", path: "/health" });
    assert.deepEqual([status, body], [200, '{"status":"ok"}']);
    const head = await send(harness.port, { method: "HEAD", path: "/health" });
    assert.deepEqual([head.status, head.body], [200, ""]);
  });
});

describe("the body of a signed request", () => {
  it("is taken without a payload hash header, as some clients send it", async () => {
    const body = JSON.stringify({ imageIdentifier: IMAGE_ARN });
    const response = await sendSigned(harness, {
      method: "POST",
      path: "/2025-09-09/microvms",
      body,
    });
    assert.equal(response.status, 200, response.body);
  });

  it("is refused when it is not what its hash header says", async () => {
    harness.calls.length = 0;
    const client = harness.lambda;
    const command = new RunMicrovmCommand({ imageIdentifier: IMAGE_ARN });
    command.middlewareStack.add(
      (next) => (args) => {
        const request = args.request as { body: string };
        request.body = request.body.replace("flask", "other");
        return next(args);
      },
      { step: "finalizeRequest", priority: "low", name: "tamper", override: true },
    );
    await assert.rejects(client.send(command), { name: "InvalidSignatureException" });
    assert.deepEqual(harness.calls, []);
  });
});
