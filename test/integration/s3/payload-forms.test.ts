// Every form in which clients send a body, right and wrong.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { createChecksum } from "../../../src/artifacts/checksums.ts";
import { send, type Chain, type RawRequest } from "./raw.ts";
import { startService, type TestService } from "./service.ts";

const Bucket = "artifacts";
const BODY = Buffer.from("what is uploaded ".repeat(5000));
let service: TestService;
before(async () => {
  service = await startService();
  await service.s3.send(new CreateBucketCommand({ Bucket }));
});
after(() => service[Symbol.asyncDispose]());

const put = (key: string, raw: Partial<RawRequest>) =>
  send(service.endpoint, { method: "PUT", target: `/${Bucket}/${key}`, ...raw });

async function stored(Key: string): Promise<Buffer | undefined> {
  try {
    const { Body } = await service.s3.send(new GetObjectCommand({ Bucket, Key }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  } catch (error) {
    if (error instanceof Error && error.name === "NoSuchKey") return undefined;
    throw error;
  }
}

const base64 = (algorithm: "sha1" | "sha256" | "md5", data: Buffer) =>
  createHash(algorithm).update(data).digest("base64");

const checksumOf = (algorithm: "CRC32" | "CRC32C" | "CRC64NVME", data: Buffer) => {
  const checksum = createChecksum(algorithm);
  checksum.update(data);
  return checksum.digest().toString("base64");
};

const crc = checksumOf("CRC32", BODY);

function cut(data: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < data.length; at += 10_000) pieces.push(data.subarray(at, at + 10_000));
  return [...pieces, Buffer.alloc(0)];
}

function chunked(data: Buffer, chain: Chain | undefined, end: string): Buffer {
  const parts = cut(data).flatMap((piece) => {
    const signature = chain === undefined ? "" : `;chunk-signature=${chain.chunk(piece)}`;
    const head = Buffer.from(`${piece.length.toString(16)}${signature}\r\n`);
    return piece.length === 0 ? [head] : [head, piece, Buffer.from("\r\n")];
  });
  return Buffer.concat([...parts, Buffer.from(end)]);
}

const streaming = {
  "content-encoding": "aws-chunked",
  "x-amz-decoded-content-length": String(BODY.length),
};

const signedTrailer = (value: string) => (chain: Chain) => {
  const body = chunked(BODY, chain, "");
  const line = `x-amz-checksum-crc32:${value}`;
  const signature = chain.trailer(`${line}\n`);
  return Buffer.concat([
    body,
    Buffer.from(`${line}\r\nx-amz-trailer-signature:${signature}\r\n\r\n`),
  ]);
};

describe("a body", () => {
  const forms: Record<string, Partial<RawRequest>> = {
    "with its hash": { body: BODY },
    "not signed": { body: BODY, payload: "UNSIGNED-PAYLOAD" },
    "in signed chunks": {
      payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      headers: streaming,
      body: (chain) => chunked(BODY, chain, "\r\n"),
    },
    "in signed chunks with a trailer": {
      payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
      headers: { ...streaming, "x-amz-trailer": "x-amz-checksum-crc32" },
      body: signedTrailer(crc),
    },
    "in unsigned chunks with a trailer": {
      payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
      headers: { ...streaming, "x-amz-trailer": "x-amz-checksum-crc32" },
      body: chunked(BODY, undefined, `x-amz-checksum-crc32:${crc}\r\n\r\n`),
    },
    "in chunks of both kinds": {
      payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
      headers: {
        ...streaming,
        "x-amz-trailer": "x-amz-checksum-crc64nvme",
        "transfer-encoding": "chunked",
      },
      body: chunked(
        BODY,
        undefined,
        `x-amz-checksum-crc64nvme:${checksumOf("CRC64NVME", BODY)}\r\n\r\n`,
      ),
    },
    "with Content-MD5": { body: BODY, headers: { "content-md5": base64("md5", BODY) } },
    "with CRC32": { body: BODY, headers: { "x-amz-checksum-crc32": crc } },
    "with CRC32C": { body: BODY, headers: { "x-amz-checksum-crc32c": checksumOf("CRC32C", BODY) } },
    "with CRC64NVME": {
      body: BODY,
      headers: { "x-amz-checksum-crc64nvme": checksumOf("CRC64NVME", BODY) },
    },
    "with SHA-1": { body: BODY, headers: { "x-amz-checksum-sha1": base64("sha1", BODY) } },
    "with SHA-256": { body: BODY, headers: { "x-amz-checksum-sha256": base64("sha256", BODY) } },
  };
  for (const [form, raw] of Object.entries(forms))
    it(`${form} is stored as it is`, async () => {
      const key = form.replaceAll(" ", "-");
      const answer = await put(key, raw);
      assert.equal(answer.status, 200, answer.text);
      assert.ok((await stored(key))?.equals(BODY));
    });

  it("leaves its transfer encoding behind", async () => {
    await put("encoded", {
      payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      headers: { ...streaming, "content-encoding": "aws-chunked,gzip" },
      body: (chain) => chunked(BODY, chain, "\r\n"),
    });
    const head = await service.s3.send(new HeadObjectCommand({ Bucket, Key: "encoded" }));
    assert.equal(head.ContentEncoding, "gzip");
  });
});

describe("a wrong body", () => {
  const wrongCrc = checksumOf("CRC32", Buffer.from("other"));
  const refused: Record<string, [Partial<RawRequest>, number, string]> = {
    "another hash": [
      { body: BODY, payload: createHash("sha256").update("other").digest("hex") },
      ...([400, "XAmzContentSHA256Mismatch"] as const),
    ],
    "another MD5": [
      { body: BODY, headers: { "content-md5": base64("md5", Buffer.from("x")) } },
      ...([400, "BadDigest"] as const),
    ],
    "a broken MD5": [{ body: BODY, headers: { "content-md5": "x" } }, 400, "InvalidDigest"],
    "another checksum": [
      { body: BODY, headers: { "x-amz-checksum-crc32": wrongCrc } },
      ...([400, "BadDigest"] as const),
    ],
    "a checksum of another length": [
      { body: BODY, headers: { "x-amz-checksum-crc32": "AAAA" } },
      ...([400, "InvalidDigest"] as const),
    ],
    "two checksums": [
      {
        body: BODY,
        headers: { "x-amz-checksum-crc32": crc, "x-amz-checksum-sha1": base64("sha1", BODY) },
      },
      ...([400, "InvalidRequest"] as const),
    ],
    "a checksum nobody knows": [
      { body: BODY, headers: { "x-amz-checksum-xxhash3": "AAAAAAAAAAA=" } },
      ...([501, "NotImplemented"] as const),
    ],
    "a checksum that was announced only": [
      { body: BODY, headers: { "x-amz-sdk-checksum-algorithm": "CRC32" } },
      ...([400, "InvalidRequest"] as const),
    ],
    "another trailing checksum": [
      {
        payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        headers: { ...streaming, "x-amz-trailer": "x-amz-checksum-crc32" },
        body: chunked(BODY, undefined, `x-amz-checksum-crc32:${wrongCrc}\r\n\r\n`),
      },
      ...([400, "BadDigest"] as const),
    ],
    "no trailing checksum": [
      {
        payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        headers: { ...streaming, "x-amz-trailer": "x-amz-checksum-crc32" },
        body: chunked(BODY, undefined, "\r\n"),
      },
      ...([400, "InvalidRequest"] as const),
    ],
    "an unknown trailer": [
      {
        payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        headers: { ...streaming, "x-amz-trailer": "x-amz-checksum-xxhash3" },
        body: chunked(BODY, undefined, "\r\n"),
      },
      ...([501, "NotImplemented"] as const),
    ],
    "a chunk with another signature": [
      {
        payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        headers: streaming,
        body: (chain) => {
          chain.chunk(Buffer.from("never sent"));
          return chunked(BODY, chain, "\r\n");
        },
      },
      ...([403, "SignatureDoesNotMatch"] as const),
    ],
    "another signed trailer": [
      {
        payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        headers: { ...streaming, "x-amz-trailer": "x-amz-checksum-crc32" },
        body: (chain) =>
          Buffer.from(
            signedTrailer(crc)(chain)
              .toString("latin1")
              .replace(`crc32:${crc}`, `crc32:${wrongCrc}`),
            "latin1",
          ),
      },
      ...([403, "SignatureDoesNotMatch"] as const),
    ],
    "another decoded length": [
      {
        payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        headers: { ...streaming, "x-amz-decoded-content-length": String(BODY.length + 1) },
        body: (chain) => chunked(BODY, chain, "\r\n"),
      },
      ...([400, "IncompleteBody"] as const),
    ],
    "no decoded length": [
      {
        payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        body: (chain) => chunked(BODY, chain, "\r\n"),
      },
      ...([411, "MissingContentLength"] as const),
    ],
    "no length at all": [
      { body: BODY, headers: { "transfer-encoding": "chunked" } },
      ...([411, "MissingContentLength"] as const),
    ],
    "a payload form nobody knows": [
      { body: BODY, payload: "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" },
      ...([400, "InvalidRequest"] as const),
    ],
  };
  for (const [what, [raw, status, code]] of Object.entries(refused))
    it(`with ${what} is refused and leaves nothing`, async () => {
      const before = (await service.dataFiles()).sort();
      const answer = await put("refused", raw);
      assert.deepEqual([answer.status, answer.code], [status, code], answer.text);
      assert.equal(await stored("refused"), undefined);
      assert.deepEqual((await service.dataFiles()).sort(), before);
    });
});

describe("the SDK's client", () => {
  it("sends streams with a trailing checksum", async () => {
    const { ChecksumCRC32 } = await service.s3.send(
      new PutObjectCommand({
        ...{ Bucket, Key: "streamed", Body: Readable.from(cut(BODY).slice(0, -1)) },
        ContentLength: BODY.length,
      }),
    );
    const expected = Buffer.alloc(4);
    expected.writeUInt32BE(crc32(BODY));
    assert.equal(ChecksumCRC32, expected.toString("base64"));
    assert.ok((await stored("streamed"))?.equals(BODY));
  });

  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] as const)
    it(`agrees on ${ChecksumAlgorithm}`, async () => {
      const Key = `sdk-${ChecksumAlgorithm}`;
      await service.s3.send(new PutObjectCommand({ Bucket, Key, Body: BODY, ChecksumAlgorithm }));
      // Reading, the client computes the checksum again.
      assert.ok((await stored(Key))?.equals(BODY));
    });

  it("may leave checksums out", async () => {
    const plain = service.client({ requestChecksumCalculation: "WHEN_REQUIRED" });
    await plain.send(new PutObjectCommand({ Bucket, Key: "plain", Body: BODY }));
    plain.destroy();
    assert.ok((await stored("plain"))?.equals(BODY));
  });
});
