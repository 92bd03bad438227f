// Carries one exchange to the application and back: bodies stream in both directions at the pace of the slower side,
// informational responses and trailers included, and either side's disconnect reaches the other.

import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import type { Socket } from "node:net";
import { hasErrorCode, isServiceError, ServiceError } from "../errors.ts";
import type { TrafficLease } from "../microvms/traffic.ts";
import type { Exchange, UpgradeRequest } from "./exchange.ts";
import { type Framing, requestHeaders, responseHeaders, trailerFields } from "./headers.ts";
import { type Refusal, REFUSALS } from "./refusal.ts";
import { NO_SUBPROTOCOLS, type Subprotocols } from "./subprotocols.ts";
import { tunnel } from "./tunnel.ts";

export interface Target {
  readonly lease: TrafficLease;
  readonly port: number;
  readonly subprotocols?: Subprotocols;
  readonly connectTimeoutMs: number;
}

type Answer =
  | {
      readonly kind: "response";
      readonly outgoing: ClientRequest;
      readonly incoming: IncomingMessage;
    }
  | {
      readonly kind: "upgraded";
      readonly upgrade: UpgradeRequest;
      readonly incoming: IncomingMessage;
      readonly socket: Socket;
      readonly head: Buffer;
    };

/** Requests that may be sent again when a kept connection proves dead before any answer. */
const REPLAYABLE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);
const USUALLY_BODILESS = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"]);
/** Largest response header of an application. */
const RESPONSE_HEADER_LIMIT = 64 * 1024;

/**
 * Carries the exchange until it is over. Resolves with a refusal when the application could not be reached and the
 * client has been sent nothing; rejects when either side was cut off midway.
 */
export async function forward(exchange: Exchange, target: Target): Promise<Refusal | undefined> {
  let answer: Answer;
  try {
    answer = await call(exchange, target);
  } catch (error) {
    if (exchange.signal.aborted || !isServiceError(error, "GUEST_UNREACHABLE")) throw error;
    return target.lease.signal.aborted ? REFUSALS.microvmConnectFailed : REFUSALS.appConnectFailed;
  }
  if (answer.kind === "response") return relayResponse(exchange, answer.outgoing, answer.incoming);
  await tunnel(exchange, answer, target);
  return undefined;
}

async function call(exchange: Exchange, target: Target): Promise<Answer> {
  const isReplayable =
    exchange.framing.kind === "none" &&
    exchange.upgrade === undefined &&
    REPLAYABLE_METHODS.has(exchange.request.method ?? "");
  try {
    return await send(exchange, target, isReplayable);
  } catch (error) {
    if (!isReplayable || !isServiceError(error) || error.details.wasReused !== true) throw error;
    return send(exchange, target, false);
  }
}

/** Sends the request; resolves when the application's header is there. */
function send(exchange: Exchange, target: Target, mayReuse: boolean): Promise<Answer> {
  const { lease, port } = target;
  const outgoing = httpRequest({
    agent: exchange.upstreams.agentFor(lease, port, mayReuse),
    host: lease.address,
    port,
    method: exchange.request.method,
    path: exchange.target,
    // A flat list keeps order, spelling and repetitions; node adds nothing to it but `Connection`.
    headers: requestHeaders({
      raw: exchange.request.rawHeaders,
      framing: outgoingFraming(exchange),
      requestId: exchange.requestId,
      ...upgradeHeaders(exchange, target.subprotocols ?? NO_SUBPROTOCOLS),
    }),
    maxHeaderSize: RESPONSE_HEADER_LIMIT,
  });
  limitConnectTime(outgoing, target.connectTimeoutMs);
  cutWith(outgoing, exchange.signal);
  cutWith(outgoing, lease.signal);
  relayInformation(exchange, outgoing);
  sendBody(exchange, outgoing);
  return new Promise((resolve, reject) => {
    let isSettled = false;
    const settle = (answer: Answer) => {
      isSettled = true;
      resolve(answer);
    };
    const fail = (cause?: Error) => {
      if (!isSettled) reject(unreachable(outgoing, port, cause));
      isSettled = true;
    };
    const { upgrade } = exchange;
    outgoing.once("response", (incoming) => settle({ kind: "response", outgoing, incoming }));
    if (upgrade !== undefined) {
      outgoing.once("upgrade", (incoming, socket, head) =>
        settle({ kind: "upgraded", upgrade, incoming, socket, head }),
      );
    }
    // Stays for the life of the request: after the answer's header a failure shows on the answer's own stream.
    outgoing.on("error", fail);
    // An upgrade that was not asked for ends the connection without an error.
    outgoing.once("close", () => fail());
  });
}

function unreachable(outgoing: ClientRequest, port: number, cause?: Error): ServiceError {
  const wasReused = outgoing.reusedSocket && hasErrorCode(cause, "ECONNRESET", "EPIPE");
  return new ServiceError("GUEST_UNREACHABLE", `Cannot reach application port ${port}`, {
    cause,
    details: { wasReused },
  });
}

function upgradeHeaders(exchange: Exchange, subprotocols: Subprotocols) {
  if (exchange.upgrade === undefined) return {};
  const { protocol } = exchange.upgrade;
  return { upgrade: { protocol, subprotocols: subprotocols.foreign } };
}

/** A method that usually has a body says that it has none (RFC 9110, 8.6); node would send an empty chunked one. */
function outgoingFraming({ framing, request }: Exchange): Framing {
  const usuallyHasBody = !USUALLY_BODILESS.has(request.method ?? "");
  return framing.kind === "none" && usuallyHasBody ? { kind: "length", bytes: "0" } : framing;
}

function limitConnectTime(outgoing: ClientRequest, timeoutMs: number): void {
  outgoing.once("socket", (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(
      () => outgoing.destroy(new Error("Connection attempt timed out")),
      timeoutMs,
    );
    socket.once("connect", () => clearTimeout(timer));
    socket.once("close", () => clearTimeout(timer));
  });
}

function cutWith(outgoing: ClientRequest, signal: AbortSignal): void {
  const cut = () => {
    outgoing.destroy(new Error("Request was cut"));
  };
  if (signal.aborted) return cut();
  signal.addEventListener("abort", cut, { once: true });
  outgoing.once("close", () => signal.removeEventListener("abort", cut));
}

function relayInformation(exchange: Exchange, outgoing: ClientRequest): void {
  const { response, expectsContinue } = exchange;
  let isContinued = false;
  outgoing.on("continue", () => {
    if (expectsContinue && !isContinued && !response.headersSent) response.writeContinue();
    isContinued = true;
  });
  outgoing.on("information", ({ statusCode, headers }) => {
    if (statusCode !== 103 || headers.link === undefined || response.headersSent) return;
    if (exchange.request.httpVersionMinor > 0) response.writeEarlyHints({ link: headers.link });
  });
}

function sendBody(exchange: Exchange, outgoing: ClientRequest): void {
  const { request, framing, traffic } = exchange;
  if (framing.kind === "none") {
    outgoing.end();
    return;
  }
  request.on("data", (chunk: Buffer) => (traffic.received += chunk.length));
  request.once("end", () => {
    if (framing.kind === "chunked") outgoing.addTrailers(trailerFields(request.rawTrailers));
    outgoing.end();
  });
  request.pipe(outgoing, { end: false });
  // The header goes out with the body's first bytes, or at once when the client holds them back.
  setImmediate(() => {
    if (traffic.received === 0 && !outgoing.writableEnded && !outgoing.destroyed) {
      outgoing.flushHeaders();
    }
  });
}

async function relayResponse(
  exchange: Exchange,
  outgoing: ClientRequest,
  incoming: IncomingMessage,
): Promise<Refusal | undefined> {
  const { response, requestId } = exchange;
  if ((incoming.statusCode ?? 0) < 200) {
    // A 101 to a request that asked for no upgrade.
    outgoing.destroy();
    return REFUSALS.appConnectFailed;
  }
  response.sendDate = false;
  try {
    const headers = responseHeaders(incoming.rawHeaders, requestId);
    response.writeHead(incoming.statusCode ?? 0, incoming.statusMessage ?? "", headers);
  } catch (error) {
    // The application's header is one that node:http reads but refuses to write.
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    outgoing.destroy();
    return REFUSALS.appConnectFailed;
  }
  await pipeResponse(exchange, incoming);
  // An application may answer without reading the whole request; the rest has nowhere to go.
  if (!outgoing.writableFinished) {
    exchange.request.unpipe(outgoing);
    outgoing.destroy();
  }
  return undefined;
}

function pipeResponse(exchange: Exchange, incoming: IncomingMessage): Promise<void> {
  const { response, traffic } = exchange;
  return new Promise((resolve, reject) => {
    const fail = (error?: Error) =>
      reject(new ServiceError("GUEST_UNREACHABLE", "Response was cut off", { cause: error }));
    incoming.on("data", (chunk: Buffer) => (traffic.sent += chunk.length));
    incoming.once("error", fail);
    incoming.once("close", () => (incoming.complete ? undefined : fail()));
    incoming.once("end", () => {
      if (!incoming.complete) return fail();
      response.addTrailers(trailerFields(incoming.rawTrailers));
      response.end();
    });
    response.once("error", fail);
    response.once("close", () => (response.writableFinished ? resolve() : fail()));
    response.once("finish", resolve);
    incoming.pipe(response, { end: false });
    // As for requests: together with the body's first bytes, or at once.
    setImmediate(() => {
      if (traffic.sent === 0 && !response.writableEnded && !response.destroyed) {
        response.flushHeaders();
      }
    });
  });
}
