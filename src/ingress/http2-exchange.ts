// An exchange over HTTP/2: one stream of a session. nghttp2 has checked the form of the header (pseudo-header fields,
// lower case, no connection-specific fields, body against Content-Length); what it leaves open is decided here.

import { randomBytes, randomUUID } from "node:crypto";
import { constants, type ServerHttp2Stream, type ServerStreamResponseOptions } from "node:http2";
import {
  type ClientConnection,
  type Exchange,
  type ExchangeResponse,
  MAX_FIELDS,
  MAX_HEADER_BYTES,
  type UpgradeRequest,
} from "./exchange.ts";
import { fieldValues, type RawHeaders, requestFraming } from "./headers.ts";
import { http2Direct } from "./http2-direct.ts";
import { trailerBlock, trailersOf, writableFields } from "./http2-fields.ts";
import { type Refusal, REFUSALS, writeRefusal } from "./refusal.ts";
import { webSocketAccept } from "./websocket-accept.ts";

export interface Http2ExchangeInput {
  readonly stream: ServerHttp2Stream;
  /** Name and value in turn, pseudo-header fields included. */
  readonly raw: RawHeaders;
  readonly connection: ClientConnection;
  /** Aborts when the client has given the stream up. */
  readonly signal: AbortSignal;
  readonly clientAddress: string | undefined;
}

/** A `Host` that repeats `:authority` says nothing new; the hand-shake of a WebSocket is ours on this side (RFC 8441, 5). */
const REPLACED_FIELDS = new Set(["host", "cookie"]);
const HANDSHAKE_FIELDS = new Set(["sec-websocket-key", "sec-websocket-accept"]);
/** What is read of a request after its answer. */
const DRAIN_BYTES = 1024 * 1024;
const DRAIN_MS = 2000;
const BAD_IN_VALUES = /[^\t\x20-\x7e\x80-\xff]/;
const ORIGIN_FORM = /^\/[\x21-\x7e\x80-\xff]*$/;
/** Of a response whose trailers say how the call ended; in gRPC-Web the body does. */
const GRPC = /^application\/grpc(?:[+;]|$)/i;
/** How a gRPC client hears of a lost connection: a reset would be read as a fault or as a cancellation of its own. */
const UNAVAILABLE = {
  "grpc-status": ["14"],
  "grpc-message": ["Connection to the application was lost"],
};

/** The exchange, or the refusal of a request that could mean different things to different readers. */
export function readHttp2Exchange(input: Http2ExchangeInput): Exchange | Refusal {
  const { stream, raw } = input;
  const request = readRequest(raw);
  if (request === undefined || raw.length > MAX_FIELDS * 2) return REFUSALS.badRequest;
  if (headerBytes(raw) > MAX_HEADER_BYTES) return REFUSALS.headerTooLarge;
  const isConnect = request.method === "CONNECT";
  if (isConnect && request.protocol === undefined) return REFUSALS.badRequest;
  if (isConnect && request.protocol !== "websocket") return REFUSALS.protocolUnknown;
  const key = isConnect ? randomBytes(16).toString("base64") : undefined;
  const fields = requestFields(raw, request.authority, key);
  const hasBody = !isConnect && !stream.endAfterHeaders;
  const framing = requestFraming(fields);
  if (framing === undefined || framing.kind === "chunked") return REFUSALS.badRequest;
  if (isConnect && (framing.kind !== "none" || stream.endAfterHeaders)) return REFUSALS.badRequest;
  const expectsContinue = fieldValues(fields, "expect").some((value) =>
    /^100-continue$/i.test(value),
  );
  const isBodiless = stream.endAfterHeaders && framing.kind === "none" && !expectsContinue;
  const response = http2Response(stream);
  const requestId = randomUUID();
  return {
    requestId,
    httpVersion: "2",
    clientAddress: input.clientAddress,
    // Towards the application a WebSocket is an upgrade of HTTP/1.1.
    method: isConnect ? "GET" : request.method,
    target: request.path,
    authority: request.authority,
    fields,
    framing: framing.kind === "none" && hasBody ? { kind: "chunked" } : framing,
    expectsContinue,
    body: stream,
    trailers: trailersOf(stream),
    response,
    connection: input.connection,
    upgrade: key !== undefined ? webSocket(stream, key) : undefined,
    signal: input.signal,
    traffic: { received: 0, sent: 0 },
    discardRest: () => discardRest(stream),
    direct: isBodiless ? http2Direct(stream, requestId, response.noteStatus) : undefined,
  };
}

/** Size of a header list as RFC 9113 counts it (6.5.2). The limit that a session announces is advice: clients may pass it. */
function headerBytes(raw: RawHeaders): number {
  const text = raw.reduce((sum, part) => sum + Buffer.byteLength(part, "latin1"), 0);
  return text + (raw.length / 2) * 32;
}

/** Answers a stream that makes no exchange. */
export function refuseStream(stream: ServerHttp2Stream, refused: Refusal): void {
  writeRefusal(http2Response(stream), refused, randomUUID());
  stream.once("finish", () => discardRest(stream));
}

/** Reads on for a while, then tells the client that the rest is not wanted (RFC 9113, 8.1). */
function discardRest(stream: ServerHttp2Stream): void {
  stream.resume();
  if (stream.endAfterHeaders || stream.destroyed) return;
  let left = DRAIN_BYTES;
  // Not at once: the end of the response goes out first.
  const stop = () => {
    if (!stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
  };
  const timer = setTimeout(stop, DRAIN_MS);
  stream.once("close", () => clearTimeout(timer));
  stream.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) stop();
  });
}

interface RequestLine {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly protocol: string | undefined;
}

function readRequest(raw: RawHeaders): RequestLine | undefined {
  const one = (name: string) => fieldValues(raw, name).join(", ");
  const [method, path, scheme] = [one(":method"), one(":path"), one(":scheme")];
  const [authority] = fieldValues(raw, ":authority");
  const hosts = fieldValues(raw, "host");
  const agreed = authority ?? hosts[0];
  if (agreed === undefined || hosts.length > 1) return undefined;
  if (hosts.some((host) => host.toLowerCase() !== agreed.toLowerCase())) return undefined;
  const protocol = fieldValues(raw, ":protocol")[0];
  // CONNECT without a protocol has neither path nor scheme.
  if (method !== "CONNECT" || protocol !== undefined) {
    if (scheme !== "https" && scheme !== "http") return undefined;
    if (!ORIGIN_FORM.test(path) && !(path === "*" && method === "OPTIONS")) return undefined;
  }
  if (raw.some((text, index) => index % 2 === 1 && BAD_IN_VALUES.test(text))) return undefined;
  return { method, path, authority: agreed, protocol };
}

function requestFields(raw: RawHeaders, authority: string, key: string | undefined): string[] {
  const fields = ["Host", authority];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? "";
    if (name.startsWith(":") || REPLACED_FIELDS.has(name)) continue;
    if (key !== undefined && HANDSHAKE_FIELDS.has(name)) continue;
    fields.push(name, raw[index + 1] ?? "");
  }
  // Clients may send a cookie in crumbs to compress better (RFC 9113, 8.2.3).
  const cookies = fieldValues(raw, "cookie");
  if (cookies.length > 0) fields.push("cookie", cookies.join("; "));
  if (key !== undefined) {
    fields.push("Sec-WebSocket-Key", key);
    if (fieldValues(raw, "sec-websocket-version").length === 0) {
      fields.push("Sec-WebSocket-Version", "13");
    }
  }
  return fields;
}

interface Http2Response extends ExchangeResponse {
  /** A header was sent past this. */
  noteStatus(status: number): void;
}

function http2Response(stream: ServerHttp2Stream): Http2Response {
  let status = 200;
  let isGrpc = false;
  let trailers: Record<string, string[]> = {};
  stream.once("wantTrailers", () => stream.sendTrailers(trailers));
  const inform = (fields: Record<string, string | number | string[]>) => {
    if (!stream.closed && !stream.destroyed) stream.additionalHeaders(fields);
  };
  return {
    get status() {
      return stream.headersSent ? status : undefined;
    },
    body: stream,
    writeContinue: () => inform({ ":status": 100 }),
    writeEarlyHints: (link) => inform({ ":status": 103, link }),
    start(head) {
      const fields = [":status", String(head.status), ...writableFields(head.fields)];
      // A stream that the client has given up takes no header; its signal tells the rest.
      if (stream.closed || stream.destroyed) return;
      const endStream = head.isEmpty === true;
      respond(stream, fields, { endStream, waitForTrailers: !endStream });
      status = head.status;
      isGrpc = !endStream && GRPC.test(fieldValues(head.fields, "content-type")[0] ?? "");
    },
    noteStatus: (sent) => void (status = sent),
    // An HTTP/2 header is not held back.
    flush: () => undefined,
    end(given) {
      trailers = trailerBlock(given);
      stream.end();
    },
    cut(code) {
      if (code !== undefined || !isGrpc || stream.closed || stream.writableEnded)
        return stream.close(code ?? constants.NGHTTP2_INTERNAL_ERROR);
      trailers = UNAVAILABLE;
      stream.end();
    },
  };
}

function respond(
  stream: ServerHttp2Stream,
  fields: readonly string[],
  options: ServerStreamResponseOptions,
): void {
  const withoutDate = { ...options, sendDate: false };
  stream.respond(fields, withoutDate);
}

function webSocket(stream: ServerHttp2Stream, key: string): UpgradeRequest {
  const expected = webSocketAccept(key);
  return {
    protocol: "websocket",
    head: Buffer.alloc(0),
    isAnsweredBy: (fields) => fieldValues(fields, "sec-websocket-accept")[0] === expected,
    accept({ fields }) {
      const kept = fields.filter(
        (_text, index) => !HANDSHAKE_FIELDS.has((fields[index - (index % 2)] ?? "").toLowerCase()),
      );
      if (!stream.closed && !stream.destroyed) {
        respond(stream, [":status", "200", ...writableFields(kept)], {});
      }
      return stream;
    },
  };
}
