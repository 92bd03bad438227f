// The aws-chunked body: pieces with their sizes, signed in a chain or not, and checksums in the trailer.
//
//   hex-size[;chunk-signature=SIG]\r\n bytes \r\n … 0[;chunk-signature=SIG]\r\n [name:value\r\n …] \r\n
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html

import { createHash } from "node:crypto";
import { s3Error } from "../../artifacts/s3-errors.ts";
import { sha256Hex } from "../sigv4-canonical.ts";
import { equalHex, signLink, type SignatureChain, type SignedPayload } from "../sigv4.ts";

export type ChunkedPayload = Extract<SignedPayload, { kind: "chunks" }>;

/** Trailer values by lower-case name, filled when the body has ended. */
export type Trailers = Map<string, string>;

/** A chunk's size line or a trailer line, in bytes. */
const MAX_LINE_BYTES = 1024;
const MAX_TRAILERS = 8;
/** What one chunk may announce: S3's own largest part. */
const MAX_CHUNK_BYTES = 5 * 1024 ** 3;

/**
 * Yields the payload's own bytes, and puts its trailers in `trailers`. A piece is yielded before its signature is
 * checked, so nothing may be kept of a body that throws: IncompleteBody, InvalidRequest or SignatureDoesNotMatch.
 */
export async function* decodeChunks(
  source: AsyncIterable<Buffer>,
  payload: ChunkedPayload,
  trailers: Trailers,
): AsyncGenerator<Buffer> {
  const input = new ByteReader(source);
  const chain = payload.signed ? new ChainCheck(payload.chain) : undefined;
  for (;;) {
    const { sizeBytes, signature } = parseSizeLine(await input.line());
    for (let left = sizeBytes; left > 0;) {
      const piece = await input.atMost(left);
      left -= piece.length;
      chain?.update(piece);
      yield piece;
    }
    chain?.endChunk(signature);
    if (sizeBytes === 0) break;
    if ((await input.line()) !== "") throw incomplete();
  }
  await readTrailers(input, payload, chain, trailers);
  await input.end();
}

function parseSizeLine(line: string): { sizeBytes: number; signature: string | undefined } {
  const found = /^([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line);
  const sizeBytes = Number.parseInt(found?.[1] ?? "", 16);
  if (found === null || sizeBytes > MAX_CHUNK_BYTES)
    throw s3Error("InvalidRequest", "The chunk size line cannot be read");
  return { sizeBytes, signature: found[2] };
}

async function readTrailers(
  input: ByteReader,
  payload: ChunkedPayload,
  chain: ChainCheck | undefined,
  trailers: Trailers,
): Promise<void> {
  let signature: string | undefined;
  // Some clients put an empty line before the trailer's signature as well as after it.
  let emptyLines = payload.signed && payload.trailer ? 2 : 1;
  for (;;) {
    const line = await input.lineOrEnd();
    if (line === undefined) break;
    if (line === "") {
      emptyLines--;
      if (emptyLines === 0 || signature !== undefined) break;
      continue;
    }
    const mark = line.indexOf(":");
    const name = line.slice(0, Math.max(mark, 0)).trim().toLowerCase();
    const value = line.slice(mark + 1).trim();
    if (name === "" || !payload.trailer || trailers.has(name) || trailers.size >= MAX_TRAILERS)
      throw s3Error("InvalidRequest", "The trailer cannot be read");
    if (name === "x-amz-trailer-signature") signature = value;
    else trailers.set(name, value);
  }
  if (payload.trailer) chain?.endTrailer(trailers, signature);
}

/** Follows the chain of signatures from the request's own. */
class ChainCheck {
  readonly #chain: SignatureChain;
  #previous: string;
  #hash = createHash("sha256");

  constructor(chain: SignatureChain) {
    this.#chain = chain;
    this.#previous = chain.seedSignature;
  }

  update(piece: Buffer): void {
    this.#hash.update(piece);
  }

  endChunk(signature: string | undefined): void {
    const hash = this.#hash.digest("hex");
    this.#hash = createHash("sha256");
    const expected = signLink(this.#chain, "AWS4-HMAC-SHA256-PAYLOAD", [
      this.#previous,
      sha256Hex(""),
      hash,
    ]);
    this.#accept(expected, signature);
  }

  endTrailer(trailers: Trailers, signature: string | undefined): void {
    const lines = [...trailers].map(([name, value]) => `${name}:${value}\n`).join("");
    const expected = signLink(this.#chain, "AWS4-HMAC-SHA256-TRAILER", [
      this.#previous,
      sha256Hex(lines),
    ]);
    this.#accept(expected, signature);
  }

  #accept(expected: string, given: string | undefined): void {
    if (given === undefined || !equalHex(expected, given)) throw s3Error("SignatureDoesNotMatch");
    this.#previous = expected;
  }
}

/** Lines and byte runs from a stream of buffers. */
class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At least one byte, at most `limit`. */
  async atMost(limit: number): Promise<Buffer> {
    while (this.#held.length === 0) if (!(await this.#more())) throw incomplete();
    const piece = this.#held.subarray(0, limit);
    this.#held = this.#held.subarray(piece.length);
    return piece;
  }

  async line(): Promise<string> {
    const line = await this.lineOrEnd();
    if (line === undefined) throw incomplete();
    return line;
  }

  /** The next line without its end; undefined when nothing is left. */
  async lineOrEnd(): Promise<string | undefined> {
    for (;;) {
      const at = this.#held.indexOf(0x0a);
      if (at !== -1) {
        const line = this.#held.toString("latin1", 0, at);
        this.#held = this.#held.subarray(at + 1);
        return line.endsWith("\r") ? line.slice(0, -1) : line;
      }
      if (this.#held.length > MAX_LINE_BYTES)
        throw s3Error("InvalidRequest", "A line of the chunked body is too long");
      if (await this.#more()) continue;
      if (this.#held.length > 0) throw incomplete();
      return undefined;
    }
  }

  /** Nothing may follow. */
  async end(): Promise<void> {
    while (this.#held.length === 0) if (!(await this.#more())) return;
    throw s3Error("InvalidRequest", "The chunked body goes on after its end");
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done === true) return false;
    this.#held = this.#held.length === 0 ? value : Buffer.concat([this.#held, value]);
    return true;
  }
}

function incomplete() {
  return s3Error("IncompleteBody");
}
