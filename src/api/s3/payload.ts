// The body of an upload as plain bytes, ending without error only when everything the client and its signature said
// about it has proved true: length, hash, MD5, checksum, chain of signatures.

import { createHash } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import {
  CHECKSUM_ALGORITHMS,
  createChecksum,
  DIGEST_BYTES,
  type Checksum,
  type ChecksumAlgorithm,
} from "../../artifacts/checksums.ts";
import { s3Error } from "../../artifacts/s3-errors.ts";
import { equalHex } from "../sigv4.ts";
import { header, type S3Call } from "./call.ts";
import { decodeChunks, type Trailers } from "./chunked.ts";

export interface UploadBody {
  /** To be read once. Nothing may be kept of it when it throws. */
  readonly bytes: AsyncIterable<Buffer>;
  readonly sizeBytes: number;
  /** The object's checksum, when the client or the caller asked for one; known when `bytes` has ended. */
  checksum(): Checksum | null;
}

type BodyCall = Pick<S3Call, "request" | "headers" | "payload">;

/**
 * The body of a call. `computed` is the checksum to compute when the client gives none. Throws MissingContentLength,
 * InvalidDigest and InvalidRequest for what the headers alone show to be wrong.
 */
export function uploadBody(call: BodyCall, computed?: ChecksumAlgorithm): UploadBody {
  const { headers, payload } = call;
  const sizeBytes = announcedSize(headers, payload.kind === "chunks");
  const given = announcedChecksum(headers);
  if (given === undefined && headers["x-amz-sdk-checksum-algorithm"] !== undefined)
    throw s3Error(
      "InvalidRequest",
      "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
    );
  const algorithm = given?.algorithm ?? computed;
  let checksum: Checksum | null = null;
  const body = {
    ...{ call, sizeBytes, given, algorithm, md5: announcedMd5(headers) },
    done: (value: Checksum | null) => {
      checksum = value;
    },
  };
  return { bytes: checkedBytes(body), sizeBytes, checksum: () => checksum };
}

interface AnnouncedBody {
  readonly call: BodyCall;
  readonly sizeBytes: number;
  readonly given: AnnouncedChecksum | undefined;
  readonly algorithm: ChecksumAlgorithm | undefined;
  readonly md5: Buffer | undefined;
  readonly done: (checksum: Checksum | null) => void;
}

interface AnnouncedChecksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Base64; undefined when it comes in the trailer. */
  readonly value: string | undefined;
}

async function* checkedBytes(body: AnnouncedBody): AsyncGenerator<Buffer> {
  const { call, sizeBytes, given, algorithm } = body;
  const trailers: Trailers = new Map();
  const digests = createDigests(body);
  let received = 0;
  for await (const chunk of plainBytes(call, trailers)) {
    received += chunk.length;
    if (received > sizeBytes) throw s3Error("IncompleteBody");
    digests.update(chunk);
    yield chunk;
  }
  if (received !== sizeBytes) throw s3Error("IncompleteBody");
  digests.check();
  if (algorithm === undefined) return;
  const expected = given === undefined ? undefined : (given.value ?? trailerValue(given, trailers));
  body.done(digests.checksum(algorithm, expected));
}

function plainBytes({ request, payload }: BodyCall, trailers: Trailers): AsyncIterable<Buffer> {
  const received = receivedBytes(request);
  return payload.kind === "chunks" ? decodeChunks(received, payload, trailers) : received;
}

/** The request's body. Stopping early leaves the connection open, so that an answer can be sent. */
export function receivedBytes(request: IncomingMessage): AsyncIterableIterator<Buffer> {
  return request.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
}

function createDigests({ call: { payload }, md5, algorithm }: AnnouncedBody) {
  const sha256 = payload.kind === "hash" ? createHash("sha256") : undefined;
  const md5Hash = md5 === undefined ? undefined : createHash("md5");
  const checksum = algorithm === undefined ? undefined : createChecksum(algorithm);
  return {
    update(chunk: Buffer): void {
      sha256?.update(chunk);
      md5Hash?.update(chunk);
      checksum?.update(chunk);
    },
    check(): void {
      if (payload.kind === "hash" && !equalHex(sha256?.digest("hex") ?? "", payload.sha256))
        throw s3Error("XAmzContentSHA256Mismatch");
      if (md5 !== undefined && md5Hash?.digest().equals(md5) !== true)
        throw s3Error("BadDigest", "The Content-MD5 you specified did not match what we received.");
    },
    checksum(ofAlgorithm: ChecksumAlgorithm, expected: string | undefined): Checksum {
      const value = checksum?.digest().toString("base64") ?? "";
      if (expected !== undefined && expected !== value)
        throw s3Error(
          "BadDigest",
          `The ${ofAlgorithm} you specified did not match the calculated checksum.`,
        );
      return { algorithm: ofAlgorithm, type: "FULL_OBJECT", value };
    },
  };
}

function announcedSize(headers: IncomingHttpHeaders, isChunked: boolean): number {
  const name = isChunked ? "x-amz-decoded-content-length" : "content-length";
  const text = header(headers, name);
  // Neither a length nor a transfer coding: HTTP says that there is no body.
  if (text === undefined && !isChunked && headers["transfer-encoding"] === undefined) return 0;
  if (text === undefined)
    throw s3Error("MissingContentLength", `You must provide the ${name} header.`);
  if (!/^\d{1,15}$/.test(text))
    throw s3Error("InvalidArgument", `The ${name} header is not a size`);
  return Number(text);
}

function announcedMd5(headers: IncomingHttpHeaders): Buffer | undefined {
  const text = header(headers, "content-md5");
  return text === undefined ? undefined : decodeDigest(text, 16);
}

/** The checksum that the headers give, or say that the trailer gives. Throws InvalidRequest for more than one. */
export function announcedChecksum(headers: IncomingHttpHeaders): AnnouncedChecksum | undefined {
  const inHeaders = CHECKSUM_ALGORITHMS.flatMap((algorithm) => {
    const value = header(headers, checksumHeader(algorithm));
    return value === undefined ? [] : [{ algorithm, value }];
  });
  const inTrailer = trailerNames(headers).map((name) => {
    const algorithm = CHECKSUM_ALGORITHMS.find((each) => checksumHeader(each) === name);
    if (algorithm === undefined)
      throw s3Error("NotImplemented", `The trailer "${name}" is not implemented`);
    return { algorithm, value: undefined };
  });
  const all: AnnouncedChecksum[] = [...inHeaders, ...inTrailer];
  if (all.length > 1)
    throw s3Error("InvalidRequest", "Expecting a single x-amz-checksum- header or trailer");
  const [only] = all;
  if (only?.value !== undefined) decodeDigest(only.value, DIGEST_BYTES[only.algorithm]);
  return only;
}

function trailerNames(headers: IncomingHttpHeaders): string[] {
  const list = header(headers, "x-amz-trailer");
  return list === undefined ? [] : list.split(",").map((name) => name.trim().toLowerCase());
}

function trailerValue({ algorithm }: AnnouncedChecksum, trailers: Trailers): string {
  const value = trailers.get(checksumHeader(algorithm));
  if (value === undefined)
    throw s3Error("InvalidRequest", `The trailer "${checksumHeader(algorithm)}" is missing`);
  decodeDigest(value, DIGEST_BYTES[algorithm]);
  return value;
}

/** `x-amz-checksum-crc32` and so on. */
export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return `x-amz-checksum-${algorithm.toLowerCase()}`;
}

/** The bytes of a base64 digest. Throws InvalidDigest for anything else. */
function decodeDigest(text: string, bytes: number): Buffer {
  const digest = Buffer.from(text, "base64");
  if (digest.length !== bytes || digest.toString("base64") !== text) throw s3Error("InvalidDigest");
  return digest;
}

/** The whole body of a request with an XML document, checked. Throws MaxMessageLengthExceeded above `maxBytes`. */
export async function documentBody(call: BodyCall, maxBytes: number): Promise<string> {
  const { bytes, sizeBytes } = uploadBody(call);
  if (sizeBytes > maxBytes) throw s3Error("MaxMessageLengthExceeded");
  const chunks: Buffer[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
