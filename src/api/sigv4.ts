// Server side of AWS Signature Version 4: who signed a request, and what the signature says about its body.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

import { createHmac, type KeyObject, timingSafeEqual } from "node:crypto";
import type { FindKey } from "../keys/keys.ts";
import { ALGORITHM, type ReadAuthorization } from "./sigv4-authorization.ts";
import {
  canonicalHeaderValue,
  canonicalPathOnce,
  canonicalPathTwice,
  canonicalQuery,
  canonicalRequest,
  sha256Hex,
  type ReceivedHeaders,
} from "./sigv4-canonical.ts";
import {
  namedService,
  queryValue,
  readSignature,
  receivedParts,
  type GivenSignature,
  type ReceivedParts,
} from "./sigv4-credentials.ts";
import { signatureError } from "./sigv4-errors.ts";
import { checkTime } from "./sigv4-time.ts";
import { deriveSigningKey, type SigningKeys } from "./signing-keys.ts";

export type { FindKey };

export interface SignedRequest {
  readonly method: string;
  /** Request target as received. */
  readonly url: string;
  readonly headers: ReceivedHeaders;
  /**
   * The whole body. Signatures for services other than S3 cover it, and not every client names its hash in
   * `x-amz-content-sha256`; without either the body is taken to be empty.
   */
  readonly body?: Uint8Array;
}

export interface VerifiedSignature {
  readonly accessKeyId: string;
  readonly account: string;
  readonly region: string;
  readonly service: string;
  readonly payload: SignedPayload;
}

/** What the signature vouches for in the body. */
export type SignedPayload =
  | { readonly kind: "hash"; readonly sha256: string }
  | { readonly kind: "unsigned" }
  | { readonly kind: "chunks"; readonly signed: false; readonly trailer: true }
  | {
      readonly kind: "chunks";
      readonly signed: true;
      readonly trailer: boolean;
      readonly chain: SignatureChain;
    };

/** What the first chunk's signature is computed from. */
export interface SignatureChain {
  readonly signingKey: KeyObject;
  /** `YYYYMMDDTHHMMSSZ`. */
  readonly timestamp: string;
  /** `date/region/service/aws4_request`. */
  readonly scope: string;
  readonly seedSignature: string;
}

export interface SignatureDeps {
  readonly findKey: FindKey;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Where derived keys are remembered; derived anew each time unless given. */
  readonly signingKeys?: SigningKeys;
  /** Reads Authorization headers; each anew unless given. */
  readonly readAuthorization?: ReadAuthorization;
}

const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** The service that a request's signature names, unchecked: for routing only. Undefined for an unsigned request. */
export function peekService(request: Pick<SignedRequest, "url" | "headers">): string | undefined {
  return namedService(request.url, request.headers);
}

/**
 * Checks the signature of a request. Throws ACCESS_DENIED with `details.exception`, `wireCode` and `wireStatus`.
 * A body that `request` did not hold is still to be checked against `payload`.
 */
export function verifySignature(deps: SignatureDeps, request: SignedRequest): VerifiedSignature {
  const parts = receivedParts(request.url, request.headers);
  const given = readSignature(parts, deps.readAuthorization);
  const key = deps.findKey(given.accessKeyId);
  if (key === undefined) throw unknownKey(given.service);
  if (given.hasSessionToken)
    throw signatureError(
      "unknown-token",
      given.service,
      "The security token included in the request is invalid.",
    );
  checkTime(given, deps.now());
  checkSignedHeaders(given, parts);
  const payloadHash = signedPayloadHash(given, parts, request.body);
  const { secretAccessKey } = key;
  const { date, region } = given;
  const signingKey = (deps.signingKeys ?? deriveSigningKey)({
    ...{ secretAccessKey, date, region, service: given.service },
  });
  const expected = signRequest(signingKey, given, parts, request.method, payloadHash);
  if (!equalHex(expected, given.signature))
    throw signatureError(
      "mismatch",
      given.service,
      "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
    );
  return {
    accessKeyId: given.accessKeyId,
    account: key.account,
    region: given.region,
    service: given.service,
    payload: describePayload(given, signingKey, payloadHash),
  };
}

/** True when `body` is what the signature covers. Chunked payloads are checked while they are read, never here. */
export function payloadMatches(payload: SignedPayload, body: Uint8Array): boolean {
  switch (payload.kind) {
    case "hash":
      return equalHex(sha256Hex(body), payload.sha256);
    case "unsigned":
      return true;
    case "chunks":
      return false;
  }
}

/** Signature of the next link of a chunk chain, or of its trailer. */
export function signLink(
  chain: Pick<SignatureChain, "signingKey" | "timestamp" | "scope">,
  algorithm: "AWS4-HMAC-SHA256-PAYLOAD" | "AWS4-HMAC-SHA256-TRAILER",
  hashes: readonly string[],
): string {
  return hmacHex(chain.signingKey, [algorithm, chain.timestamp, chain.scope, ...hashes].join("\n"));
}

/** Compares two hex digests in time that does not depend on where they differ. */
export function equalHex(expected: string, given: string): boolean {
  const a = Buffer.from(expected, "latin1");
  const b = Buffer.from(given, "latin1");
  return a.length === b.length && timingSafeEqual(a, b);
}

function unknownKey(service: string) {
  return signatureError(
    "unknown-key",
    service,
    service === "s3"
      ? "The AWS Access Key Id you provided does not exist in our records."
      : "The security token included in the request is invalid.",
  );
}

/** A header that changes what a request does must be under the signature. */
function checkSignedHeaders(
  { service, signedHeaders }: GivenSignature,
  parts: ReceivedParts,
): void {
  const isUnsigned = (name: string) => !signedHeaders.includes(name);
  let missing = isUnsigned("host") ? "host" : undefined;
  for (const name of parts.headers.keys())
    if (missing === undefined && name.startsWith("x-amz-") && isUnsigned(name)) missing = name;
  if (missing === undefined) return;
  throw signatureError(
    "unsigned-headers",
    service,
    service === "s3"
      ? `There were headers present in the request which were not signed: ${missing}`
      : `'${missing}' must be a 'SignedHeader' in the AWS Authorization.`,
  );
}

/** The last line of the canonical request. */
function signedPayloadHash(
  given: GivenSignature,
  { headers, query }: ReceivedParts,
  body: Uint8Array | undefined,
): string {
  if (given.service !== "s3" && body !== undefined)
    return body.length === 0 ? EMPTY_SHA256 : sha256Hex(body);
  const named =
    // A header that a client moved into the query keeps the spelling it had there.
    queryValue(query, "X-Amz-Content-Sha256", "x-amz-content-sha256") ??
    canonicalHeaderValue(headers.get("x-amz-content-sha256") ?? []);
  if (given.service !== "s3") return HASH.test(named) ? named : EMPTY_SHA256;
  if (named !== "") return named;
  if (given.form === "query") return UNSIGNED;
  throw signatureError(
    "unsupported",
    "s3",
    "Missing required header for this request: x-amz-content-sha256",
  );
}

const HASH = /^[0-9a-f]{64}$/;
const UNSIGNED = "UNSIGNED-PAYLOAD";

function describePayload(
  given: GivenSignature,
  signingKey: KeyObject,
  payloadHash: string,
): SignedPayload {
  const chain = {
    signingKey,
    timestamp: given.timestamp,
    scope: scopeOf(given),
    seedSignature: given.signature,
  };
  switch (payloadHash) {
    case UNSIGNED:
      return { kind: "unsigned" };
    case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
      return { kind: "chunks", signed: false, trailer: true };
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
      return { kind: "chunks", signed: true, trailer: false, chain };
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
      return { kind: "chunks", signed: true, trailer: true, chain };
  }
  if (HASH.test(payloadHash)) return { kind: "hash", sha256: payloadHash };
  throw signatureError(
    "unsupported",
    given.service,
    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a streaming form that this service knows, or a valid sha256 value.",
  );
}

function signRequest(
  signingKey: KeyObject,
  given: GivenSignature,
  { path, query, headers }: ReceivedParts,
  method: string,
  payloadHash: string,
): string {
  const signedQuery =
    given.form === "query" ? query.filter(({ name }) => name !== "X-Amz-Signature") : query;
  const canonicalPath = given.service === "s3" ? canonicalPathOnce(path) : canonicalPathTwice(path);
  if (canonicalPath === undefined)
    throw signatureError("malformed", given.service, "The request path has a broken escape");
  const canonical = canonicalRequest({
    method,
    path: canonicalPath,
    query: canonicalQuery(signedQuery),
    signedHeaders: given.signedHeaders,
    headers,
    payloadHash,
  });
  const toSign = [ALGORITHM, given.timestamp, scopeOf(given), sha256Hex(canonical)].join("\n");
  return hmacHex(signingKey, toSign);
}

function scopeOf({ date, region, service }: GivenSignature): string {
  return `${date}/${region}/${service}/aws4_request`;
}

function hmacHex(key: KeyObject, text: string): string {
  return createHmac("sha256", key).update(text).digest("hex");
}
