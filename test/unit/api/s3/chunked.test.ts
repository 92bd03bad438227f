// Chunked bodies, the signed ones after AWS's published examples.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeChunks, type ChunkedPayload } from "../../../../src/api/s3/chunked.ts";
import { deriveSigningKey } from "../../../../src/api/signing-keys.ts";
import { isServiceError } from "../../../../src/errors.ts";

const UNSIGNED: ChunkedPayload = { kind: "chunks", signed: false, trailer: true };

function signedPayload(seedSignature: string, trailer: boolean): ChunkedPayload {
  const signingKey = deriveSigningKey({
    ...{ date: "20130524", region: "us-east-1", service: "s3" },
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  });
  const scope = "20130524/us-east-1/s3/aws4_request";
  const chain = { signingKey, timestamp: "20130524T000000Z", scope, seedSignature };
  return { kind: "chunks", signed: true, trailer, chain };
}

/** Yields a text in pieces of this size. */
async function* pieces(text: string, size = 7): AsyncGenerator<Buffer> {
  await Promise.resolve();
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function decode(text: string, payload: ChunkedPayload, size?: number) {
  const trailers = new Map<string, string>();
  const chunks: Buffer[] = [];
  for await (const chunk of decodeChunks(pieces(text, size), payload, trailers)) chunks.push(chunk);
  return { body: Buffer.concat(chunks).toString("latin1"), trailers: Object.fromEntries(trailers) };
}

const failsAs = (s3Code: string) => (error: unknown) =>
  isServiceError(error) && error.details["s3Code"] === s3Code;

const [FIRST, SECOND] = ["a".repeat(65536), "a".repeat(1024)];

const chunk = (data: string, signature: string) =>
  `${data.length.toString(16)};chunk-signature=${signature}\r\n${data}\r\n`;

describe("decodeChunks of a signed chain", () => {
  const payload = signedPayload(
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    false,
  );
  const body =
    chunk(FIRST, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648") +
    chunk(SECOND, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497") +
    chunk("", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");

  it("accepts the published example", async () => {
    assert.deepEqual(await decode(body, payload, 1000), { body: FIRST + SECOND, trailers: {} });
  });

  it("refuses a changed byte, a changed order and a dropped chunk", async () => {
    for (const changed of [
      body.replace("aaaa", "aaba"),
      body.replace("ad80", "ad81"),
      body.slice(body.indexOf("400;")),
      body.replace(/400;[^]*?\r\na+\r\n/, ""),
      body.replace(/;chunk-signature=[0-9a-f]+/, ""),
    ])
      await assert.rejects(decode(changed, payload, 1000), failsAs("SignatureDoesNotMatch"));
  });

  it("refuses a body that stops before its last chunk", async () => {
    await assert.rejects(
      decode(body.slice(0, body.indexOf("0;chunk")), payload, 1000),
      failsAs("IncompleteBody"),
    );
  });

  it("refuses a trailer that the signature does not announce", async () => {
    const extended = `${body.slice(0, -2)}x-amz-checksum-crc32:AAAAAA==\r\n\r\n`;
    await assert.rejects(decode(extended, payload, 1000), failsAs("InvalidRequest"));
  });
});

describe("decodeChunks of a signed chain with a trailer", () => {
  const payload = signedPayload(
    "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    true,
  );
  const chunks =
    chunk(FIRST, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2") +
    chunk(SECOND, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7") +
    chunk("", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992").slice(0, -2);
  const signature =
    "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";

  it("accepts the published example in both of its spellings", async () => {
    for (const trailer of [
      "x-amz-checksum-crc32c:sOO8/Q==\r\n",
      "x-amz-checksum-crc32c:sOO8/Q==\n\r\n",
    ])
      assert.deepEqual(await decode(chunks + trailer + signature, payload, 1000), {
        body: FIRST + SECOND,
        trailers: { "x-amz-checksum-crc32c": "sOO8/Q==" },
      });
  });

  it("refuses a changed and an unsigned trailer", async () => {
    for (const end of [
      `x-amz-checksum-crc32c:sOO8/R==\r\n${signature}`,
      "x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n",
      "\r\n",
    ])
      await assert.rejects(decode(chunks + end, payload, 1000), failsAs("SignatureDoesNotMatch"));
  });
});

describe("decodeChunks without signatures", () => {
  it("decodes chunks however they are cut", async () => {
    const body = "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Amz-Checksum-CRC32: DUoRhQ==\r\n\r\n";
    for (const size of [1, 2, 3, 8, 1000])
      assert.deepEqual(await decode(body, UNSIGNED, size), {
        body: "hello world",
        trailers: { "x-amz-checksum-crc32": "DUoRhQ==" },
      });
  });

  it("takes a body of nothing, and one whose last empty line is missing", async () => {
    assert.equal((await decode("0\r\n\r\n", UNSIGNED)).body, "");
    assert.equal((await decode("1\r\nx\r\n0\r\n", UNSIGNED)).body, "x");
  });

  const broken: Record<string, [string, string]> = {
    "a size that is no number": ["x\r\n", "InvalidRequest"],
    "a negative size": ["-1\r\n", "InvalidRequest"],
    "an enormous size": ["fffffffffffff\r\n", "InvalidRequest"],
    "an unknown extension": ["1;a=b\r\nx\r\n0\r\n\r\n", "InvalidRequest"],
    "a line without end": ["1".repeat(3000), "InvalidRequest"],
    "a chunk longer than its size": ["1\r\nxy\r\n0\r\n\r\n", "IncompleteBody"],
    "a chunk shorter than its size": ["5\r\nhell", "IncompleteBody"],
    "no last chunk": ["1\r\nx\r\n", "IncompleteBody"],
    nothing: ["", "IncompleteBody"],
    "bytes after the end": ["0\r\n\r\nGET / HTTP/1.1\r\n", "InvalidRequest"],
    "a trailer twice": ["0\r\na:1\r\na:2\r\n\r\n", "InvalidRequest"],
    "a trailer without name": ["0\r\nvalue\r\n\r\n", "InvalidRequest"],
    "too many trailers": [
      `0\r\n${Array.from({ length: 20 }, (_, n) => `t${n}:1\r\n`).join("")}\r\n`,
      "InvalidRequest",
    ],
  };
  for (const [what, [body, s3Code]] of Object.entries(broken))
    it(`refuses ${what}`, async () => {
      await assert.rejects(decode(body, UNSIGNED), failsAs(s3Code));
    });
});
