// The artifact store's S3 face: checks the signature, runs the operation, writes what it answers, and failures as S3
// writes them.

import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { ERRORS, isServiceError, messageOf } from "../../errors.ts";
import type { ArtifactStore } from "../../artifacts/local.ts";
import { S3_ERRORS } from "../../artifacts/s3-errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Log } from "../../lib/log.ts";
import { signatureError } from "../sigv4-errors.ts";
import { verifySignature, type FindKey } from "../sigv4.ts";
import { createCall, parseTarget, type S3Deps, type S3Limits, type S3Reply } from "./call.ts";
import { checkHeaders } from "./description.ts";
import { receivedBytes } from "./payload.ts";
import { findOperation } from "./routes.ts";
import { xmlDocument } from "./xml.ts";

export interface S3HandlerDeps {
  readonly artifacts: ArtifactStore;
  readonly findKey: FindKey;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
}

/** Answers one request. Never rejects: what fails is answered, or the connection is cut. */
export type S3Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  requestId?: string,
) => Promise<void>;

/** S3's own limit for one upload. */
const DEFAULT_LIMITS: S3Limits = { maxObjectBytes: 5 * 1024 ** 3 };

/** A refused upload is still read up to this size, in bytes, and this long: a client that writes does not read. */
const DRAIN_BYTES = 16 * 1024 * 1024;
const DRAIN_MS = 5000;

/** A handler over the store in `deps`. */
export function createS3Handler(deps: S3HandlerDeps, limits: Partial<S3Limits> = {}): S3Handler {
  const operationDeps = { artifacts: deps.artifacts, limits: { ...DEFAULT_LIMITS, ...limits } };
  return async (request, response, requestId = randomBytes(8).toString("hex").toUpperCase()) => {
    const leaving = new AbortController();
    response.once("close", () => {
      if (!response.writableFinished)
        leaving.abort(new DOMException("The client is gone", "AbortError"));
    });
    response.setHeader("x-amz-request-id", requestId);
    response.setHeader("x-amz-id-2", Buffer.from(requestId).toString("base64"));
    try {
      const reply = await answer(deps, operationDeps, request, leaving.signal);
      await send(request, response, reply);
    } catch (error) {
      await refuse(deps.log, { request, response, requestId }, error);
    }
  };
}

async function answer(
  deps: S3HandlerDeps,
  operationDeps: S3Deps,
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<S3Reply> {
  const { method = "", url = "", rawHeaders } = request;
  const { findKey, clock } = deps;
  const signatureDeps = { findKey, now: () => clock.now() };
  const verified = verifySignature(signatureDeps, { method, url, headers: rawHeaders });
  // The name that chose the way here was read leniently; a signature for another service does not cover the body.
  if (verified.service !== "s3")
    throw signatureError("scope-mismatch", "s3", "Credential should be scoped to service 's3'.");
  const target = parseTarget(url);
  const call = createCall(request, target, verified, signal);
  checkHeaders(call.headers, verified.account);
  const isCopy = call.headers["x-amz-copy-source"] !== undefined;
  return findOperation(method, target, isCopy)(operationDeps, call);
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
}

async function refuse(log: Log, exchange: Exchange, error: unknown): Promise<void> {
  const { request, response, requestId } = exchange;
  if (response.headersSent || response.destroyed || request.socket.destroyed) {
    log.debug("S3 exchange cut off", { requestId, error });
    response.destroy();
    return;
  }
  const failure = failureOf(error);
  if (failure.status >= 500) log.error("S3 request failed", { requestId, error });
  else log.debug("S3 request refused", { requestId, code: failure.code, error });
  try {
    await drain(request);
    await send(request, response, errorReply(request, requestId, failure));
  } catch (sendError) {
    log.debug("S3 refusal not delivered", { requestId, reason: messageOf(sendError) });
    response.destroy();
  }
}

interface Failure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** Code and status of any thrown value; what is not a ServiceError shows nothing of itself. */
function failureOf(error: unknown): Failure {
  const internal = { ...S3_ERRORS.InternalError, code: "InternalError" };
  if (!isServiceError(error)) return internal;
  const { s3Code, s3 } = error.details;
  if (typeof s3Code === "string" && Object.hasOwn(S3_ERRORS, s3Code)) {
    const { status } = S3_ERRORS[s3Code as keyof typeof S3_ERRORS];
    return { status, code: s3Code, message: error.message };
  }
  if (isSignatureFailure(s3)) return { ...s3, message: error.message };
  if (error.code === "STORAGE_FULL")
    return { ...S3_ERRORS.InsufficientStorage, code: "InsufficientStorage" };
  if (ERRORS[error.code].status >= 500) return internal;
  return { status: ERRORS[error.code].status, code: "InvalidRequest", message: error.message };
}

function isSignatureFailure(value: unknown): value is Omit<Failure, "message"> {
  return typeof value === "object" && value !== null && "code" in value && "status" in value;
}

function errorReply({ url = "" }: IncomingMessage, requestId: string, failure: Failure): S3Reply {
  const [resource = ""] = url.split("?", 1);
  const body = xmlDocument([
    "Error",
    [
      ["Code", failure.code],
      ["Message", failure.message],
      ["Resource", resource],
      ["RequestId", requestId],
    ],
  ]);
  return { status: failure.status, body };
}

/** Lets the rest of an upload pass within bounds, so that the client gets to read its answer. */
async function drain(request: IncomingMessage): Promise<void> {
  let left = DRAIN_BYTES;
  const deadline = AbortSignal.timeout(DRAIN_MS);
  const bytes = receivedBytes(request);
  const expired = new Promise<"expired">((resolve) => {
    deadline.addEventListener("abort", () => resolve("expired"), { once: true });
  });
  while (left > 0 && !request.complete) {
    const next = await Promise.race([bytes.next(), expired]);
    if (next === "expired" || next.done === true) return;
    left -= next.value.length;
  }
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers = {}, body }: S3Reply,
): Promise<void> {
  // What was not read of the request cannot be told from the next one.
  if (!request.complete) response.setHeader("connection", "close");
  if (body === undefined || typeof body === "string") {
    const isDocument = body !== undefined;
    const length =
      status === 204 || status === 304
        ? {}
        : { "content-length": String(Buffer.byteLength(body ?? "")) };
    response.writeHead(status, {
      ...(isDocument ? { "content-type": "application/xml" } : {}),
      ...length,
      ...headers,
    });
    response.end(request.method === "HEAD" ? undefined : body);
    return;
  }
  try {
    response.writeHead(status, headers);
  } catch (error) {
    body.destroy();
    throw error;
  }
  await pipeline(body, response);
}
