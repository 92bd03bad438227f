// Sends an exchange's request to the application over HTTP/2: with prior knowledge (RFC 9113, 3.3), or over TLS.

import {
  type ClientHttp2Stream,
  constants,
  type Http2Session,
  type Http2Stream,
  type IncomingHttpHeaders,
} from "node:http2";
import { type Exchange, MAX_EARLY_HINTS } from "./exchange.ts";
import { type RawHeaders, requestHeaders, trailerFields } from "./headers.ts";
import { serverNameOf } from "./hostname.ts";
import { writableFields } from "./http2-fields.ts";
import { pipeAt } from "./pace.ts";
import {
  countBody,
  cutWith,
  isReplayable,
  type Target,
  unreachable,
  type UpstreamAnswer,
  type UpstreamResponse,
  whenEnded,
} from "./upstream.ts";

/** Say how the message is carried; the pseudo-header fields and frames of HTTP/2 say it otherwise. */
const NOT_IN_HTTP2 = new Set(["host", "transfer-encoding"]);

/** Sends the request; resolves when the application's header is there. Rejects GUEST_UNREACHABLE. */
export async function sendHttp2(
  exchange: Exchange,
  target: Target,
  mayReuse: boolean,
): Promise<UpstreamAnswer> {
  const { sessions } = exchange.connection.upstreams;
  const place = { ...target, serverName: serverNameOf(exchange.authority) };
  // Calls are not replayable as a rule and come by the thousand: they share a session, too.
  const mayShare = mayReuse || !isReplayable(exchange);
  const mayOpen = !mayShare || sessions.mayOpen(place, exchange.signal);
  if (mayOpen !== true && !(await mayOpen)) throw unreachable(target.port, false);
  const wasReused = mayShare && sessions.has(place);
  const isBodiless = exchange.framing.kind === "none";
  const options = { endStream: isBodiless, waitForTrailers: !isBodiless };
  const fields = headerOf(exchange, target);
  let stream: ClientHttp2Stream;
  try {
    stream = sessions.request(place, { fields, options }, mayShare);
  } catch (error) {
    if (!(error instanceof Error) || error instanceof TypeError) throw error;
    // The session ended in this very moment.
    throw unreachable(target.port, wasReused, error);
  }
  for (const signal of [exchange.signal, target.lease.signal]) {
    const stop = cutWith(signal, () => stream.close(constants.NGHTTP2_CANCEL));
    stream.once("close", stop);
  }
  relayInformation(exchange, stream);
  if (!isBodiless) sendBody(exchange, stream, target);
  return new Promise((resolve, reject) => {
    let cause: Error | undefined;
    stream.once("response", (headers, flags, raw) =>
      resolve(responseOf(stream, headers, flags, raw)),
    );
    // Stays for the life of the stream: after the header a failure shows in the code of its end.
    stream.on("error", (error) => (cause = error));
    stream.once("close", () => reject(unreachable(target.port, wasReused, cause)));
  });
}

function headerOf(exchange: Exchange, { isTls }: Target): string[] {
  const fields = requestHeaders({
    raw: exchange.fields,
    framing: exchange.framing,
    requestId: exchange.requestId,
  });
  const kept = fields.filter(
    (_text, index) => !NOT_IN_HTTP2.has((fields[index - (index % 2)] ?? "").toLowerCase()),
  );
  return [
    ...[":method", exchange.method],
    ...[":scheme", isTls ? "https" : "http"],
    ...[":authority", exchange.authority ?? ""],
    ...[":path", exchange.target],
    ...writableFields(kept),
  ];
}

function responseOf(
  stream: ClientHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  raw: readonly string[],
): UpstreamResponse {
  const { session } = stream;
  const fields = raw.filter((_text, index) => raw[index - (index % 2)]?.startsWith(":") !== true);
  return {
    kind: "response",
    status: Number(headers[":status"]),
    message: "",
    fields,
    isEmpty: (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0,
    body: stream,
    trailers: trailersOf(stream),
    // Where the connection went, node:http2 made the code up.
    cutCode: () => (isConnected(session) ? stream.rstCode : undefined),
    release() {
      if (!stream.writableFinished) stream.close(constants.NGHTTP2_CANCEL);
    },
    cut: () => stream.close(constants.NGHTTP2_CANCEL),
  };
}

function isConnected(session: Http2Session | undefined): boolean {
  return session?.destroyed === false && !session.socket.destroyed;
}

function relayInformation({ response, expectsContinue }: Exchange, stream: ClientHttp2Stream) {
  let hints = 0;
  stream.on("headers", (headers) => {
    if (response.status !== undefined) return;
    const { ":status": status, link } = headers;
    if (status === 100 && expectsContinue) response.writeContinue();
    if (status === 103 && link !== undefined && ++hints <= MAX_EARLY_HINTS)
      response.writeEarlyHints(link);
  });
}

function sendBody(exchange: Exchange, stream: ClientHttp2Stream, target: Target): void {
  const { body } = exchange;
  stream.once("wantTrailers", () => {
    stream.sendTrailers(trailerBlock(trailerFields(exchange.trailers() ?? [])));
  });
  countBody(exchange, target, () => stream.close(constants.NGHTTP2_CANCEL));
  whenEnded(pipeAt(target.pace, body, stream).last, () => {
    if (exchange.trailers() === undefined) stream.close(constants.NGHTTP2_CANCEL);
    else stream.end();
  });
}

/** Trailer fields as node:http2 takes them. Their names are anybody's: one may be that of what every object has. */
function trailerBlock(fields: readonly [string, string][]): Record<string, string[]> {
  const values = new Map<string, string[]>();
  for (const [name, value] of fields) {
    const key = name.toLowerCase();
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  return Object.fromEntries(values);
}

/** Keeps the trailers of the stream; the result is undefined while the body has not ended as it should. */
function trailersOf(stream: Http2Stream): () => RawHeaders | undefined {
  let trailers: RawHeaders = [];
  stream.once("trailers", (_trailers, _flags, raw) => {
    trailers = raw;
  });
  // A reset ends the readable side like the end of a body does.
  return () => (stream.aborted || (stream.rstCode ?? 0) !== 0 ? undefined : trailers);
}
