// AWS SDKs whose endpoint is a microVM's, before an application that checks what they sign: a header field that the
// ingress changed, dropped or added under the signature would have the application refuse the request.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent } from "node:https";
import type { IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { after, before, beforeEach, describe, it } from "node:test";
import { promisify } from "node:util";
import {
  CreateBucketCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { createS3Handler, type S3Handler } from "../../../src/api/s3/handler.ts";
import { openLocalStore } from "../../../src/artifacts/local.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { pythonWithClients } from "../../support/python.ts";
import { ENDPOINT_HOST, type Harness, REGION, startHarness } from "./harness.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 60_000;
const BUCKET = "bucket";
const CREDENTIALS = { accessKeyId: "AKIAAAAAAAAAAAAAAAAA", secretAccessKey: "s".repeat(40) };

describe("AWS SDKs", { timeout: 3 * TIMEOUT_MS }, () => {
  const seen: IncomingHttpHeaders[] = [];
  const started = new AsyncDisposableStack();
  let harness: Harness;
  let credentials: Record<string, string>;
  let s3: S3Client;

  before(async () => {
    const handle = await startS3(started);
    harness = await startHarness({
      app: (request, response) => {
        seen.push(request.headers);
        void handle(request, response);
      },
    });
    started.use(harness);
    credentials = await harness.credentials();
    s3 = clientWith("finalizeRequest");
    await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  });

  after(() => started.disposeAsync());

  beforeEach(() => void seen.splice(0));

  /** A client that adds token and port in that step of a request's making. */
  function clientWith(step: "build" | "finalizeRequest"): S3Client {
    const { address } = harness.ingress;
    const client = new S3Client({
      endpoint: `https://${ENDPOINT_HOST}:${address.port}`,
      ...{ region: REGION, credentials: CREDENTIALS, forcePathStyle: true, maxAttempts: 1 },
      requestHandler: { httpsAgent: agentFor(harness) },
    });
    client.middlewareStack.add(
      (next) => (args) => {
        Object.assign((args.request as { headers: object }).headers, credentials);
        return next(args);
      },
      // Last in its step, which for the later one is after the signature.
      { step: step as "finalizeRequest", priority: "low", name: "endpointToken" },
    );
    started.defer(() => client.destroy());
    return client;
  }

  const put = (client: S3Client, Key: string, rest: object) =>
    client.send(new PutObjectCommand({ Bucket: BUCKET, Key, ...rest }));

  async function get(Key: string, rest = {}): Promise<Buffer> {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key, ...rest }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  }

  it("have their signature hold for the application, which sees the host that they signed", async () => {
    await put(s3, "key", { Body: "text" });
    const [headers = assert.fail()] = seen;
    assert.equal(headers.host, `${ENDPOINT_HOST}:${harness.ingress.address.port}`);
    assert.match(headers.authorization ?? "", /^AWS4-HMAC-SHA256 Credential=AKIA/);
    assert.ok(headers["x-amz-checksum-crc32"] !== undefined);
    assert.deepEqual(
      Object.keys(headers).filter((name) => name.startsWith("x-aws-proxy-")),
      [],
    );
    assert.equal((await get("key")).toString(), "text");
  });

  it("cannot sign what is for the endpoint alone: the application never sees it", async () => {
    await assert.rejects(put(clientWith("build"), "key", { Body: "text" }), {
      name: "SignatureDoesNotMatch",
    });
  });

  it("upload streams in chunks, with the checksum in a trailer", async () => {
    const bytes = randomBytes(3 << 20);
    const Body = Readable.from([bytes.subarray(0, 1 << 20), bytes.subarray(1 << 20)]);
    await put(s3, "stream", { Body, ContentLength: bytes.length, ChecksumAlgorithm: "SHA256" });
    assert.partialDeepStrictEqual(seen[0], {
      ...{ "content-encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-sha256" },
      "x-amz-decoded-content-length": String(bytes.length),
    });
    assert.ok((await get("stream")).equals(bytes));
  });

  it("ask whether they may send a large body", async () => {
    const Body = randomBytes(4 << 20);
    await put(s3, "large", { Body });
    assert.equal(seen[0]?.expect, "100-continue");
    assert.ok((await get("large", { Range: "bytes=100-299" })).equals(Body.subarray(100, 300)));
  });

  it("keep odd names: the path that they signed is the one that arrives", async () => {
    for (const key of ["odd ~!*'()/ü +%2F", "a//b", "a/./b/../c", "%", "tail/"]) {
      await put(s3, key, { Body: key });
      assert.equal((await get(key)).toString(), key);
    }
  });

  it("are boto3 as well: multipart, signed URLs, ranges", async () => {
    const script = path.join(import.meta.dirname, "aws_clients.py");
    const env = {
      PATH: process.env["PATH"] ?? "",
      TORPOR_CA: harness.caFile,
      TORPOR_TOKEN: await harness.token(),
      AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
      AWS_DEFAULT_REGION: REGION,
    };
    const bucket = "boto3-bucket";
    await s3.send(new CreateBucketCommand({ Bucket: bucket }));
    const base = `https://localhost:${harness.ingress.address.port}`;
    const args = [script, base, String(harness.appPort), bucket];
    const { stdout } = await run(await pythonWithClients(), args, { env, timeout: TIMEOUT_MS });
    assert.deepEqual(JSON.parse(stdout), {
      keys: ["large", "odd ~!*'()/ü +%2F", "small"],
      ...{ odd: "odd", large: true, part: "mal", "by a signed URL": "small" },
    });
    assert.ok(seen.some(({ expect }) => expect === "100-continue"));
  });
});

async function startS3(owner: AsyncDisposableStack): Promise<S3Handler> {
  const directory = await mkdtemp(path.join(tmpdir(), "torpor-aws-clients-"));
  owner.defer(() => rm(directory, { recursive: true }));
  const [log, clock] = [silentLog(), { now: () => Date.now() }];
  const artifacts = owner.use(await openLocalStore({ log, ...clock }, directory));
  const key = { ...CREDENTIALS, account: "123456789012" };
  const findKey = (id: string) => (id === key.accessKeyId ? key : undefined);
  return createS3Handler({ artifacts, findKey, clock, log });
}

/** Connects to the ingress whatever the name is: not every system resolves names below `localhost`. */
function agentFor({ ingress, caCertificate }: Harness): Agent {
  return new Agent({
    ca: caCertificate,
    lookup: (_name, options, done) => {
      const { host } = ingress.address;
      if (options.all === true) done(null, [{ address: host, family: 4 }]);
      else done(null, host, 4);
    },
  });
}
