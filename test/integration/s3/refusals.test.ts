// Requests that are refused: who asks, what for, and how the refusal looks.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListBucketsCommand,
  PutObjectCommand,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { SignatureV4 } from "@smithy/signature-v4";
import { Sha256 } from "../../unit/api/sigv4/signer.ts";
import { send, signed } from "./raw.ts";
import { CREDENTIALS, REGION, startService, type TestService } from "./service.ts";

const Bucket = "artifacts";
let service: TestService;
before(async () => {
  service = await startService({ limits: { maxObjectBytes: 1_000_000 } });
  await service.s3.send(new CreateBucketCommand({ Bucket }));
  await service.s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: "content" }));
});
after(() => service[Symbol.asyncDispose]());

const failsAs = (name: string, status: number) => (error: unknown) => {
  assert.ok(error instanceof Error && "$metadata" in error, String(error));
  assert.equal(error.name, name);
  assert.equal((error.$metadata as { httpStatusCode: number }).httpStatusCode, status);
  return true;
};

describe("a caller", () => {
  const cases: [string, S3ClientConfig, string, number][] = [
    [
      "with another secret",
      { credentials: { ...CREDENTIALS, secretAccessKey: "x".repeat(40) } },
      ...(["SignatureDoesNotMatch", 403] as const),
    ],
    [
      "with an unknown key",
      { credentials: { ...CREDENTIALS, accessKeyId: "AKIACCCCCCCCCCCCCCCC" } },
      ...(["InvalidAccessKeyId", 403] as const),
    ],
    [
      "with a session token",
      { credentials: { ...CREDENTIALS, sessionToken: "token" } },
      ...(["InvalidToken", 400] as const),
    ],
  ];
  for (const [who, config, name, status] of cases)
    it(`${who} is refused, for uploads too, and nothing is kept`, async () => {
      const client = service.client(config);
      const before = await service.dataFiles();
      await assert.rejects(client.send(new ListBucketsCommand()), failsAs(name, status));
      const Body = Buffer.alloc(900_000);
      await assert.rejects(
        client.send(new PutObjectCommand({ Bucket, Key: "refused", Body })),
        failsAs(name, status),
      );
      client.destroy();
      assert.deepEqual(await service.dataFiles(), before);
    });

  it("with a signature for another service is refused", async () => {
    const { host } = new URL(service.endpoint);
    const signer = new SignatureV4({
      ...{ credentials: CREDENTIALS, region: REGION, service: "lambda", sha256: Sha256 },
    });
    const { headers } = await signer.sign({
      ...{ method: "GET", path: `/${Bucket}/k`, protocol: "http:", hostname: host },
      headers: { host },
    });
    const sent = { ...headers };
    delete sent["host"];
    const answer = await fetch(`${service.endpoint}/${Bucket}/k`, { headers: sent });
    assert.equal(answer.status, 400);
    assert.match(await answer.text(), /AuthorizationHeaderMalformed/);
  });

  it("with a clock of another hour is refused", async () => {
    await using ahead = await startService({ skewMs: 3_600_000 });
    await assert.rejects(
      ahead.s3.send(new ListBucketsCommand()),
      failsAs("RequestTimeTooSkewed", 403),
    );
  });

  it("without a signature is refused", async () => {
    const answer = await fetch(`${service.endpoint}/${Bucket}/k`);
    assert.equal(answer.status, 403);
    assert.match(await answer.text(), /<Code>AccessDenied<\/Code>/);
  });
});

describe("a presigned URL", () => {
  async function presign(
    method: string,
    path: string,
    expiresIn: number,
    { signedAt = Date.now(), headers = {} }: { signedAt?: number; headers?: object } = {},
  ) {
    const { hostname, port } = new URL(service.endpoint);
    const signer = new SignatureV4({
      ...{ credentials: CREDENTIALS, region: REGION, service: "s3", sha256: Sha256 },
      uriEscapePath: false,
    });
    const { query = {} } = await signer.presign(
      {
        ...{ method, path, protocol: "http:", hostname, port: Number(port) },
        headers: {
          host: `${hostname}:${port}`,
          "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
          ...headers,
        },
        query: {},
      },
      { expiresIn, signingDate: new Date(signedAt) },
    );
    return `${service.endpoint}${path}?${new URLSearchParams(query as Record<string, string>)}`;
  }

  it("lets anyone read and write one object for a time", async () => {
    const body = "uploaded by link";
    const written = await fetch(await presign("PUT", `/${Bucket}/by%20link`, 60), {
      method: "PUT",
      body,
    });
    assert.equal(written.status, 200);
    const read = await fetch(await presign("GET", `/${Bucket}/by%20link`, 60));
    assert.equal(await read.text(), body);
  });

  it("carries headers in its query", async () => {
    const headers = { "x-amz-meta-note": "n", "x-amz-checksum-crc32": "AAAAAA==" };
    const url = await presign("PUT", `/${Bucket}/noted`, 60, { headers });
    const wrong = await fetch(url, { method: "PUT", body: "not nothing" });
    assert.match(await wrong.text(), /BadDigest/);
    assert.equal((await fetch(url, { method: "PUT", body: "" })).status, 200);
    const head = await fetch(await presign("HEAD", `/${Bucket}/noted`, 60), { method: "HEAD" });
    assert.equal(head.headers.get("x-amz-meta-note"), "n");
  });

  it("is no use for anything else, nor later", async () => {
    const url = await presign("GET", `/${Bucket}/k`, 60);
    for (const [changed, method] of [
      [url, "DELETE"],
      [url.replace("/k?", "/by%20link?"), "GET"],
      [`${url}&response-content-type=text/html`, "GET"],
      [await presign("GET", `/${Bucket}/k`, 60, { signedAt: Date.now() - 61_000 }), "GET"],
    ] as const) {
      const answer = await fetch(changed, { method });
      assert.equal(answer.status, 403);
      await answer.text();
    }
  });

  it("of the older kind is refused with a hint", async () => {
    const answer = await fetch(
      `${service.endpoint}/${Bucket}/k?AWSAccessKeyId=a&Signature=b&Expires=1`,
    );
    assert.equal(answer.status, 400);
    assert.match(await answer.text(), /InvalidRequest.*AWS4-HMAC-SHA256/);
  });
});

describe("a request for what is not there", () => {
  const cases: [method: string, target: string, status: number, code: string][] = [
    ["GET", `/${Bucket}?acl`, 501, "NotImplemented"],
    ["GET", `/${Bucket}?versioning`, 501, "NotImplemented"],
    ["PUT", `/${Bucket}?policy`, 501, "NotImplemented"],
    ["DELETE", `/${Bucket}?lifecycle`, 501, "NotImplemented"],
    ["GET", `/${Bucket}/k?versionId=1`, 501, "NotImplemented"],
    ["PUT", `/${Bucket}/k?tagging`, 501, "NotImplemented"],
    ["POST", `/${Bucket}/k?restore`, 501, "NotImplemented"],
    ["POST", `/${Bucket}/k`, 501, "NotImplemented"],
    ["PATCH", `/${Bucket}/k`, 405, "MethodNotAllowed"],
    ["PUT", "/", 405, "MethodNotAllowed"],
    ["GET", "//k", 400, "InvalidBucketName"],
    ["GET", `/${Bucket}?max-keys=1&max-keys=2`, 400, "InvalidArgument"],
  ];
  for (const [method, target, status, code] of cases)
    it(`${method} ${target} is refused with ${code}`, async () => {
      const answer = await send(service.endpoint, { method, target });
      assert.deepEqual([answer.status, answer.code], [status, code], answer.text);
    });

  it("is refused for a key that is no text", async () => {
    const answer = await send(service.endpoint, { method: "PUT", target: `/${Bucket}/%FF%FE` });
    assert.deepEqual([answer.status, answer.code], [400, "InvalidURI"]);
  });

  it("is refused for headers that would be ignored", async () => {
    for (const [name, value] of [
      ["x-amz-server-side-encryption", "aws:kms"],
      ["x-amz-tagging", "a=b"],
      ["x-amz-acl", "public-read"],
      ["x-amz-storage-class", "GLACIER"],
      ["x-amz-object-lock-mode", "COMPLIANCE"],
    ] as const) {
      const answer = await send(service.endpoint, {
        ...{ method: "PUT", target: `/${Bucket}/k2`, headers: { [name]: value } },
      });
      assert.deepEqual([answer.status, answer.code], [501, "NotImplemented"], name);
    }
  });

  it("is refused when another owner is expected", async () => {
    await assert.rejects(
      service.s3.send(
        new GetObjectCommand({ Bucket, Key: "k", ExpectedBucketOwner: "999999999999" }),
      ),
      failsAs("AccessDenied", 403),
    );
  });
});

describe("a refusal", () => {
  it("is XML with code, message, resource and request id", async () => {
    const answer = await send(service.endpoint, { target: `/${Bucket}/missing%3C%26` });
    assert.equal(answer.headers["content-type"], "application/xml");
    const id = String(answer.headers["x-amz-request-id"]);
    assert.equal(
      answer.text,
      `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Resource>/${Bucket}/missing%3C%26</Resource><RequestId>${id}</RequestId></Error>`,
    );
  });

  it("has no body for HEAD, and leaves the connection usable", async () => {
    const head = await send(service.endpoint, { method: "HEAD", target: `/${Bucket}/missing` });
    assert.deepEqual([head.status, head.text], [404, ""]);
    assert.notEqual(head.headers["connection"], undefined);
  });

  it("reaches a client that is still sending", async () => {
    const answer = await send(service.endpoint, {
      ...{ method: "PUT", target: `/${Bucket}/large`, body: Buffer.alloc(4_000_000) },
    });
    assert.deepEqual([answer.status, answer.code], [400, "EntityTooLarge"]);
  });

  it("does not end a connection that can go on", async () => {
    const request = (target: string) => {
      const { headers } = signed(service.endpoint, { target });
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      return `GET ${target} HTTP/1.1\r\n${lines.join("")}\r\n`;
    };
    const socket = connect(Number(new URL(service.endpoint).port), "127.0.0.1");
    socket.write(request(`/${Bucket}/missing`) + request(`/${Bucket}/k`));
    let received = "";
    for await (const chunk of socket.setEncoding("latin1") as AsyncIterable<string>) {
      received += chunk;
      if (received.endsWith("content")) break;
    }
    assert.match(received, /^HTTP\/1\.1 404 [^]*HTTP\/1\.1 200 [^]*content$/);
  });
});
