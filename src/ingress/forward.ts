// Carries one exchange to the application and back: bodies stream in both directions at the pace of the slower side,
// informational responses and trailers included, and either side's disconnect reaches the other.

import { isServiceError, ServiceError } from "../errors.ts";
import type { Exchange } from "./exchange.ts";
import { responseHeaders, trailerFields } from "./headers.ts";
import { type Pace, type Passage, pipeAt } from "./pace.ts";
import { BODILESS_STATUSES } from "./plain-heads.ts";
import { relayPlain } from "./plain-relay.ts";
import { type Refusal, REFUSALS } from "./refusal.ts";
import { tunnel } from "./tunnel.ts";
import {
  isReplayable,
  type Target,
  type UpstreamAnswer,
  type UpstreamResponse,
} from "./upstream.ts";
import { sendHttp1 } from "./upstream-http1.ts";
import { sendHttp2 } from "./upstream-http2.ts";

/**
 * Carries the exchange until it is over. Resolves with a refusal when the application could not be reached and the
 * client has been sent nothing; rejects when either side was cut off midway.
 */
export function forward(exchange: Exchange, target: Target): Promise<Refusal | undefined> {
  const { direct: client } = exchange;
  if (client === undefined || !isPlain(exchange, target)) return forwardStreams(exchange, target);
  const relayOther = (answer: UpstreamResponse) => relayResponse(exchange, target, answer, []);
  return relayPlain({ exchange, client, target, relayOther });
}

async function forwardStreams(exchange: Exchange, target: Target): Promise<Refusal | undefined> {
  const startedAt = performance.now();
  let answer: UpstreamAnswer;
  try {
    answer = await call(exchange, target);
  } catch (error) {
    if (exchange.signal.aborted || !isServiceError(error, "GUEST_UNREACHABLE")) throw error;
    if (exchange.traffic.received > target.maxBodyBytes) return REFUSALS.bodyTooLarge;
    return target.lease.signal.aborted ? REFUSALS.microvmConnectFailed : REFUSALS.appConnectFailed;
  }
  const timing = serverTiming(exchange, target, performance.now() - startedAt);
  if (answer.kind === "response") return relayResponse(exchange, target, answer, timing);
  if (exchange.upgrade?.isAnsweredBy(answer.fields) !== true) {
    answer.socket.destroy();
    return REFUSALS.appConnectFailed;
  }
  await tunnel(exchange, exchange.upgrade, answer, target);
  return undefined;
}

async function call(exchange: Exchange, target: Target): Promise<UpstreamAnswer> {
  const send = speaksHttp2(exchange) ? sendHttp2 : sendHttp1;
  const mayReplay = isReplayable(exchange);
  try {
    return await send(exchange, target, mayReplay);
  } catch (error) {
    if (!mayReplay || !isServiceError(error) || error.details.wasReused !== true) throw error;
    return send(exchange, target, false);
  }
}

/** Whether the exchange asks for nothing that takes more than plain messages at any speed. */
function isPlain(exchange: Exchange, { pace, isTls }: Target): boolean {
  if (pace !== undefined || isTls) return false;
  const { upstreams, memory } = exchange.connection;
  const { timing, forcesHttp2 } = memory.asked(exchange.fields);
  return upstreams.plain.isUseful && timing === "none" && !forcesHttp2;
}

/** An upgrade is one of HTTP/1.1, whatever else the client asks for. */
function speaksHttp2({ fields, upgrade, connection }: Exchange): boolean {
  return upgrade === undefined && connection.memory.asked(fields).forcesHttp2;
}

/** `Server-Timing` fields for a client that asks: the wait for the microVM, then for the application's header. */
function serverTiming(
  { fields, connection }: Exchange,
  { lease }: Target,
  applicationMs: number,
): string[] {
  if (connection.memory.asked(fields).timing !== "wanted") return [];
  const application = `app;dur=${applicationMs.toFixed(1)}`;
  return ["Server-Timing", `wake;dur=${lease.waitedMs.toFixed(1)}, ${application}`];
}

async function relayResponse(
  exchange: Exchange,
  { pace }: Target,
  answer: UpstreamResponse,
  timing: readonly string[],
): Promise<Refusal | undefined> {
  const { response, requestId } = exchange;
  const { status, message, isEmpty } = answer;
  // A 101 to a request that asked for no upgrade.
  if (status < 200) {
    answer.cut();
    return REFUSALS.appConnectFailed;
  }
  try {
    const mayHaveTrailers = mayTrail(exchange, status);
    const fields = [...responseHeaders(answer.fields, requestId, mayHaveTrailers), ...timing];
    response.start({ status, message, fields, isEmpty });
  } catch (error) {
    // The application's header is one that node:http reads but refuses to write.
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    answer.cut();
    return REFUSALS.appConnectFailed;
  }
  await pipeResponse(exchange, answer, pace);
  answer.release();
  return undefined;
}

/** Whether trailer fields can follow a response with the status: they come behind a chunked body. */
function mayTrail({ method, httpVersion }: Exchange, status: number): boolean {
  return method !== "HEAD" && httpVersion !== "1.0" && !BODILESS_STATUSES.has(status);
}

function pipeResponse(
  exchange: Exchange,
  answer: UpstreamResponse,
  pace: Pace | undefined,
): Promise<void> {
  const { response, traffic } = exchange;
  const { body: incoming } = answer;
  const { body: outgoing } = response;
  return new Promise((resolve, reject) => {
    let passage: Passage | undefined;
    const fail = (cause?: Error) => {
      // The response ends with what the client has been sent.
      passage?.stop();
      const details = { cutCode: answer.cutCode() };
      reject(new ServiceError("GUEST_UNREACHABLE", "Response was cut off", { cause, details }));
    };
    // Both may have broken off together with the header.
    if (outgoing.destroyed || incoming.readableAborted) return fail();
    let hasEnded = false;
    const end = () => {
      const trailers = answer.trailers();
      if (trailers === undefined) return fail();
      response.end(trailerFields(trailers));
    };
    incoming.on("data", (chunk: Buffer) => (traffic.sent += chunk.length));
    incoming.once("error", fail);
    incoming.once("close", () => (hasEnded ? undefined : fail()));
    incoming.once("end", () => (hasEnded = answer.trailers() !== undefined));
    outgoing.once("error", fail);
    outgoing.once("close", () => (outgoing.writableFinished ? resolve() : fail()));
    // The answer to HEAD over HTTP/2 was over before it began.
    if (outgoing.writableFinished) resolve();
    outgoing.once("finish", resolve);
    if (outgoing.writableEnded) incoming.resume();
    else {
      passage = pipeAt(pace, incoming, outgoing);
      passage.last.once("end", end);
    }
    // As for requests: together with the body's first bytes, or at once.
    setImmediate(() => {
      if (traffic.sent === 0 && !outgoing.writableEnded && !outgoing.destroyed) response.flush();
    });
  });
}
