// Sends an exchange's request to the application over HTTP/1.1.

import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { hasErrorCode } from "../errors.ts";
import { type Exchange, MAX_EARLY_HINTS } from "./exchange.ts";
import { type Framing, requestHeaders, trailerFields } from "./headers.ts";
import { serverNameOf } from "./hostname.ts";
import { type Passage, pipeAt } from "./pace.ts";
import type { Subprotocols } from "./subprotocols.ts";
import {
  countBody,
  cutWith,
  type Target,
  unreachable,
  type UpstreamAnswer,
  type UpstreamResponse,
  whenEnded,
} from "./upstream.ts";

const USUALLY_BODILESS = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"]);
/** Largest response header of an application. */
export const RESPONSE_HEADER_LIMIT = 64 * 1024;

/** Sends the request; resolves when the application's header is there. Rejects GUEST_UNREACHABLE. */
export function sendHttp1(
  exchange: Exchange,
  target: Target,
  mayReuse: boolean,
): Promise<UpstreamAnswer> {
  const { lease, port, isTls } = target;
  const outgoing = httpRequest({
    agent: exchange.connection.upstreams.agentFor(target, mayReuse),
    ...(isTls && { protocol: "https:", servername: serverNameOf(exchange.authority) }),
    host: lease.address,
    port,
    method: exchange.method,
    path: exchange.target,
    // A flat list keeps order, spelling and repetitions; node adds nothing to it but `Connection`.
    headers: http1Header(exchange, target),
    maxHeaderSize: RESPONSE_HEADER_LIMIT,
  });
  limitConnectTime(outgoing, target);
  for (const signal of [exchange.signal, lease.signal]) {
    const stop = cutWith(signal, () => {
      outgoing.destroy(new Error("Request was cut"));
    });
    outgoing.once("close", stop);
  }
  relayInformation(exchange, outgoing);
  const passage = sendBody(exchange, outgoing, target);
  return new Promise((resolve, reject) => {
    let isSettled = false;
    const settle = (answer: UpstreamAnswer) => {
      isSettled = true;
      resolve(answer);
    };
    const fail = (cause?: Error) => {
      const wasReused = outgoing.reusedSocket && hasErrorCode(cause, "ECONNRESET", "EPIPE");
      if (!isSettled) reject(unreachable(port, wasReused, cause));
      isSettled = true;
    };
    outgoing.once("response", (incoming) => settle(responseOf(passage, outgoing, incoming)));
    if (exchange.upgrade !== undefined) {
      outgoing.once("upgrade", (incoming, socket, head) =>
        settle({
          kind: "upgraded",
          message: incoming.statusMessage ?? "",
          fields: incoming.rawHeaders,
          protocol: incoming.headers.upgrade,
          socket,
          head,
        }),
      );
    }
    // Stays for the life of the request: after the answer's header a failure shows on the answer's own stream.
    outgoing.on("error", fail);
    // An upgrade that was not asked for ends the connection without an error.
    outgoing.once("close", () => fail());
  });
}

/** The header of the exchange's request, without `Connection`. */
function http1Header(exchange: Exchange, { subprotocols }: Target): string[] {
  return requestHeaders({
    raw: exchange.fields,
    framing: outgoingFraming(exchange),
    requestId: exchange.requestId,
    ...upgradeHeaders(exchange, subprotocols),
  });
}

function responseOf(
  passage: Passage | undefined,
  outgoing: ClientRequest,
  incoming: IncomingMessage,
): UpstreamResponse {
  return http1Response(incoming, {
    release() {
      if (outgoing.writableFinished) return;
      passage?.stop();
      outgoing.destroy();
    },
    cut: () => void outgoing.destroy(),
  });
}

/** What node:http has read of an answer; `ends` says how its connection is let go. */
export function http1Response(
  incoming: IncomingMessage,
  ends: Pick<UpstreamResponse, "release" | "cut">,
): UpstreamResponse {
  return {
    kind: "response",
    status: incoming.statusCode ?? 0,
    message: incoming.statusMessage ?? "",
    fields: incoming.rawHeaders,
    isEmpty: false,
    body: incoming,
    trailers: () => (incoming.complete ? incoming.rawTrailers : undefined),
    cutCode: () => undefined,
    ...ends,
  };
}

function upgradeHeaders(exchange: Exchange, subprotocols: Subprotocols) {
  if (exchange.upgrade === undefined) return {};
  const { protocol } = exchange.upgrade;
  return { upgrade: { protocol, subprotocols: subprotocols.foreign } };
}

/** A method that usually has a body says that it has none (RFC 9110, 8.6); node would send an empty chunked one. */
export function outgoingFraming({ framing, method }: Exchange): Framing {
  const usuallyHasBody = !USUALLY_BODILESS.has(method);
  return framing.kind === "none" && usuallyHasBody ? { kind: "length", bytes: "0" } : framing;
}

/** The hand-shake of TLS included: an application without TLS may wait for a line that never comes. */
function limitConnectTime(
  outgoing: ClientRequest,
  { connectTimeoutMs, isTls }: Pick<Target, "connectTimeoutMs" | "isTls">,
): void {
  outgoing.once("socket", (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(
      () => outgoing.destroy(new Error("Connection attempt timed out")),
      connectTimeoutMs,
    );
    socket.once(isTls ? "secureConnect" : "connect", () => clearTimeout(timer));
    socket.once("close", () => clearTimeout(timer));
  });
}

/** Passes on what the application says before its answer, as far as the client wants to know. */
export function relayInformation(exchange: Exchange, outgoing: ClientRequest): void {
  const { response, expectsContinue } = exchange;
  let isContinued = false;
  outgoing.on("continue", () => {
    if (expectsContinue && !isContinued && response.status === undefined) response.writeContinue();
    isContinued = true;
  });
  let hints = 0;
  outgoing.on("information", ({ statusCode, headers }) => {
    if (statusCode !== 103 || headers.link === undefined || response.status !== undefined) return;
    if (++hints <= MAX_EARLY_HINTS) response.writeEarlyHints(headers.link);
  });
}

function sendBody(
  exchange: Exchange,
  outgoing: ClientRequest,
  target: Target,
): Passage | undefined {
  const { body, framing, traffic } = exchange;
  if (framing.kind === "none") {
    outgoing.end();
    return undefined;
  }
  countBody(exchange, target, () => outgoing.destroy(new Error("Request was cut")));
  const passage = pipeAt(target.pace, body, outgoing);
  whenEnded(passage.last, () => {
    const trailers = exchange.trailers();
    // What a client gave up midway must not reach the application as a whole.
    if (trailers === undefined) return void outgoing.destroy(new Error("Request was cut"));
    if (framing.kind === "chunked") outgoing.addTrailers(trailerFields(trailers));
    outgoing.end();
  });
  // The header goes out with the body's first bytes, or at once when the client holds them back.
  setImmediate(() => {
    if (traffic.received === 0 && !outgoing.writableEnded && !outgoing.destroyed) {
      outgoing.flushHeaders();
    }
  });
  return passage;
}
