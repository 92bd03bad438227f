// Reads request bodies within bounds: size, time, and memory held by all requests together.

import type { IncomingMessage } from "node:http";
import { ServiceError } from "../errors.ts";

export interface BodyLimits {
  /** Largest body kept, in bytes. */
  readonly maxBytes: number;
  /** A body up to this size, in bytes, is read whatever all others hold: nobody can lock small requests out. */
  readonly smallBytes: number;
  /** Memory that all bodies being read may hold together, in bytes. */
  readonly totalBytes: number;
  /** For the whole body, from the end of the headers. */
  readonly timeoutMs: number;
}

export interface BodyReader {
  /**
   * The whole body. Rejects VALIDATION_FAILED with `details.exception` RequestEntityTooLargeException or
   * RequestTimeoutException, THROTTLED when too much memory is taken.
   */
  read(request: IncomingMessage): Promise<Buffer>;
  /** Lets the rest of an unwanted body pass, so that the client gets to read its answer. Never rejects. */
  discard(request: IncomingMessage): Promise<void>;
}

/** A body that is refused is still read up to this size, in bytes: a client that writes does not read. */
const DISCARD_LIMIT = 16 * 1024 * 1024;

const EMPTY = Buffer.alloc(0);

/** A reader whose requests share `limits.totalBytes`. */
export function createBodyReader(limits: BodyLimits): BodyReader {
  let heldBytes = 0;

  const read = async (request: IncomingMessage): Promise<Buffer> => {
    if (hasNoBody(request)) return EMPTY;
    const chunks: Buffer[] = [];
    let ownBytes = 0;
    let refusal: ServiceError | undefined;
    const refuse = (error: ServiceError) => {
      refusal ??= error;
      heldBytes -= ownBytes;
      ownBytes = 0;
      chunks.length = 0;
    };
    const keep = (chunk: Buffer) => {
      if (refusal !== undefined) return;
      ownBytes += chunk.length;
      heldBytes += chunk.length;
      chunks.push(chunk);
      if (ownBytes > limits.maxBytes) refuse(tooLarge(limits.maxBytes));
      else if (ownBytes > limits.smallBytes && heldBytes > limits.totalBytes)
        refuse(tooManyBodies());
    };
    if (Number(request.headers["content-length"] ?? 0) > limits.maxBytes)
      refuse(tooLarge(limits.maxBytes));
    try {
      await consume(request, keep, limits.timeoutMs);
    } catch (error) {
      refusal ??= error instanceof ServiceError ? error : undefined;
      if (refusal === undefined) throw error;
    } finally {
      heldBytes -= ownBytes;
    }
    if (refusal !== undefined) throw refusal;
    return Buffer.concat(chunks);
  };

  const discard = async (request: IncomingMessage): Promise<void> => {
    // However it ends, the answer is on its way already; a client that is slow or gone misses it.
    await Promise.allSettled([consume(request, () => undefined, limits.timeoutMs)]);
  };

  return { read, discard };
}

/** RFC 9112, 6.3: a request that frames no body has none. */
function hasNoBody({ headers }: IncomingMessage): boolean {
  const isUnframed = headers["transfer-encoding"] === undefined;
  return isUnframed && (headers["content-length"] ?? "0") === "0";
}

/** Passes every chunk to `take` until the end, `DISCARD_LIMIT` or the time is reached. */
function consume(
  request: IncomingMessage,
  take: (chunk: Buffer) => void,
  timeoutMs: number,
): Promise<void> {
  if (request.readableEnded) return Promise.resolve();
  return new Promise((resolve, reject) => {
    let passed = 0;
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      request.off("data", onData).off("end", onEnd).off("close", onClose);
      request.pause();
      finish();
    };
    const onData = (chunk: Buffer) => {
      passed += chunk.length;
      take(chunk);
      if (passed > DISCARD_LIMIT) settle(resolve);
    };
    const onEnd = () => settle(resolve);
    const onClose = () => settle(() => reject(clientGone()));
    const timer = setTimeout(() => settle(() => reject(timedOut(timeoutMs))), timeoutMs);
    // An aborted upload emits both an error and a close; the close settles it.
    request.on("error", () => undefined);
    request.on("data", onData).on("end", onEnd).on("close", onClose);
  });
}

function tooLarge(maxBytes: number): ServiceError {
  return new ServiceError(
    "VALIDATION_FAILED",
    `Request must be smaller than ${maxBytes} bytes for this operation`,
    { details: { exception: "RequestEntityTooLargeException" } },
  );
}

function timedOut(timeoutMs: number): ServiceError {
  return new ServiceError(
    "VALIDATION_FAILED",
    `The request body did not arrive within ${timeoutMs} ms`,
    { details: { exception: "RequestTimeoutException" } },
  );
}

function tooManyBodies(): ServiceError {
  return new ServiceError("THROTTLED", "Too many large requests at once");
}

function clientGone(): ServiceError {
  return new ServiceError("VALIDATION_FAILED", "The client left before its request was complete");
}
