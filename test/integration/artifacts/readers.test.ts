// Code artifacts out of the local store and out of an S3 endpoint: one behaviour, shown by one suite.

import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { CreateBucketCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import type { ArtifactReader } from "../../../src/artifacts/artifacts.ts";
import { createLocalReader } from "../../../src/artifacts/local-reader.ts";
import { createRemoteReader } from "../../../src/artifacts/remote.ts";
import { isServiceError } from "../../../src/errors.ts";
import { ACCOUNT, CREDENTIALS, REGION, startService, type TestService } from "../s3/service.ts";

const Bucket = "artifacts";
const ZIP = Buffer.alloc(700_000, "not really a zip ");
const signal = new AbortController().signal;
const maxBytes = 1_000_000;

let service: TestService;
before(async () => {
  service = await startService();
  const { s3 } = service;
  await s3.send(new CreateBucketCommand({ Bucket }));
  await s3.send(new PutObjectCommand({ Bucket, Key: "dir/ü app+1.zip", Body: ZIP }));
  await s3.send(new PutObjectCommand({ Bucket, Key: "large", Body: Buffer.alloc(maxBytes + 1) }));
});
after(() => service[Symbol.asyncDispose]());

async function read(reader: ArtifactReader, uri: string) {
  const { sizeBytes, body } = await reader.open({ account: ACCOUNT, uri }, signal);
  const chunks: Buffer[] = [];
  for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
  return { sizeBytes, bytes: Buffer.concat(chunks) };
}

const failsAs = (reasonCode: string) => (error: unknown) => {
  assert.ok(isServiceError(error, "BUILD_FAILED"), String(error));
  assert.equal(error.details["reasonCode"], reasonCode, error.message);
  return true;
};

const remote = (rest: object = {}, options: object = {}) =>
  createRemoteReader(
    { endpoint: service.endpoint, region: REGION, ...CREDENTIALS, ...rest },
    { maxBytes, ...options },
  );

const readers: Record<string, () => ArtifactReader & Partial<AsyncDisposable>> = {
  "the local reader": () => createLocalReader({ store: service.store }, { maxBytes }),
  "the remote reader": () => remote(),
};

for (const [name, create] of Object.entries(readers))
  describe(name, () => {
    let reader: ArtifactReader & Partial<AsyncDisposable>;
    before(() => {
      reader = create();
    });
    after(() => reader[Symbol.asyncDispose]?.());

    it("reads an object with its size", async () => {
      const { sizeBytes, bytes } = await read(reader, `s3://${Bucket}/dir/ü app+1.zip`);
      assert.equal(sizeBytes, ZIP.length);
      assert.ok(bytes.equals(ZIP));
    });

    it("names what is missing or wrong", async () => {
      for (const [uri, reasonCode] of [
        [`s3://${Bucket}/missing.zip`, "S3_NO_SUCH_KEY"],
        ["s3://missing-bucket/k", "S3_NO_SUCH_BUCKET"],
        [`s3://${Bucket}/large`, "S3_INVALID_OBJECT"],
        [`s3://${Bucket}/`, "S3_INVALID_OBJECT"],
        ["https://example.com/k", "S3_INVALID_OBJECT"],
      ] as const)
        await assert.rejects(
          reader.open({ account: ACCOUNT, uri }, signal),
          failsAs(reasonCode),
          uri,
        );
    });

    it("stops for a signal", async () => {
      const reason = new DOMException("stop", "AbortError");
      const stopped = reader.open(
        { account: ACCOUNT, uri: `s3://${Bucket}/dir/ü app+1.zip` },
        AbortSignal.abort(reason),
      );
      await assert.rejects(stopped, (error) => error === reason);
    });

    it("lets go of a body that is not read", async () => {
      const { body } = await reader.open(
        { account: ACCOUNT, uri: `s3://${Bucket}/dir/ü app+1.zip` },
        signal,
      );
      const closed = new Promise((resolve) => body.once("close", resolve));
      body.destroy();
      await closed;
    });
  });

describe("the local reader", () => {
  it("reads the objects of the account that asks only", async () => {
    const reader = createLocalReader({ store: service.store });
    await assert.rejects(
      reader.open({ account: "999999999999", uri: `s3://${Bucket}/dir/ü app+1.zip` }, signal),
      failsAs("S3_NO_SUCH_BUCKET"),
    );
  });
});

describe("the remote reader", () => {
  it("says that access was denied", async () => {
    for (const wrong of [{ secretAccessKey: "wrong" }, { accessKeyId: "AKIABBBBBBBBBBBBBBBB" }]) {
      await using reader = remote(wrong);
      await assert.rejects(
        reader.open({ account: ACCOUNT, uri: `s3://${Bucket}/large` }, signal),
        failsAs("S3_ACCESS_DENIED"),
      );
    }
  });

  /** Serves one canned answer. */
  async function withServer(
    answer: RequestListener,
    work: (endpoint: string) => Promise<void>,
  ): Promise<void> {
    const server = createServer(answer);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  it("notices a body that ends early", async () => {
    await withServer(
      (_request, response) => {
        response.writeHead(200, { "content-length": "1000" });
        response.write("too little", () => response.destroy());
      },
      async (endpoint) => {
        await using reader = remote({ endpoint });
        await assert.rejects(read(reader, "s3://b/k"), failsAs("INTERNAL_PLATFORM_ERROR"));
      },
    );
  });

  it("does not wait for an endpoint that is silent or gone", async () => {
    await withServer(
      () => undefined,
      async (endpoint) => {
        await using reader = remote({ endpoint }, { stallTimeoutMs: 50 });
        await assert.rejects(
          reader.open({ account: ACCOUNT, uri: "s3://b/k" }, signal),
          failsAs("INTERNAL_PLATFORM_ERROR"),
        );
      },
    );
    await using reader = remote({ endpoint: "http://127.0.0.1:1" });
    await assert.rejects(
      reader.open({ account: ACCOUNT, uri: "s3://b/k" }, signal),
      failsAs("INTERNAL_PLATFORM_ERROR"),
    );
  });

  it("says what other stores refuse with", async () => {
    for (const [status, code, reasonCode] of [
      [403, "AccessDenied", "S3_ACCESS_DENIED"],
      [404, "NoSuchKey", "S3_NO_SUCH_KEY"],
      [301, "PermanentRedirect", "S3_CROSS_REGION_ACCESS_DENIED"],
      [400, "KeyTooLongError", "S3_INVALID_OBJECT"],
    ] as const)
      await withServer(
        (_request, response) => {
          response.writeHead(status, { "content-type": "application/xml" });
          response.end(`<Error><Code>${code}</Code><Message>m</Message></Error>`);
        },
        async (endpoint) => {
          await using reader = remote({ endpoint });
          await assert.rejects(
            reader.open({ account: ACCOUNT, uri: "s3://b/k" }, signal),
            failsAs(reasonCode),
          );
        },
      );
  });
});
