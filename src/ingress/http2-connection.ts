// One client connection over HTTP/2: the session, its streams as exchanges side by side, and the bounds on what a
// client can make of it. Where nghttp2 has a bound of its own, its option is set here; the rest is counted here.

import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { TLSSocket } from "node:tls";
import { Allowance } from "./allowance.ts";
import type { ClientConnection, Exchange } from "./exchange.ts";
import { HeaderMemory } from "./header-memory.ts";
import { readHttp2Exchange, refuseStream } from "./http2-exchange.ts";
import { SharedUpstreams } from "./upstreams.ts";

export interface Http2Limits {
  /** How long the client may take over its first frames. */
  readonly prefaceTimeoutMs: number;
  /** How long a session without streams is kept. */
  readonly keepAliveMs: number;
  /** Bytes of one request's header, unpacked. */
  readonly headerBytes: number;
}

/** Carries an exchange to its end; does not reject. */
export type Carry = (exchange: Exchange) => Promise<void>;

const MAX_STREAMS = 128;
/** Exchanges whose stream the client has already given up, but which are not over yet. */
const MAX_ABANDONED = 128;
const STREAM_WINDOW_BYTES = 256 * 1024;
const SESSION_WINDOW_BYTES = 1024 * 1024;
/** Megabytes of headers and frames for one session. */
const SESSION_MEMORY = 16;
/** A response may have more and longer fields than a request. */
const RESPONSE_HEADER_BYTES = 128 * 1024;
/** Invalid and empty frames, and streams beyond the limit, before the session ends. */
const MAX_INVALID_FRAMES = 100;
const MAX_REJECTED_STREAMS = 100;
const MAX_HEADER_PAIRS = 260;
const LAST_STREAM_ID = 2 ** 31 - 1;
/** From the word that a session ends to the last stream that is taken. */
const LAST_STREAMS_MS = 2000;
/** PING and SETTINGS are cheap beside what a session carries. */
const CONTROL_WHILE_BUSY = 0.1;

export interface Http2Client {
  readonly socket: TLSSocket;
  /** Not the peer's, where a balancer stands between. */
  readonly clientAddress: string | undefined;
}

export class Http2Connection implements ClientConnection {
  readonly upstreams = new SharedUpstreams();
  readonly memory = new HeaderMemory();
  readonly #session: ServerHttp2Session;
  readonly #closed = new AbortController();
  readonly #carry: Carry;
  /** Requests given up before their answer ("rapid reset"): each has cost us an admission. */
  readonly #resets = new Allowance(200, 20);
  /** PING and SETTINGS. */
  readonly #control = new Allowance(1000, 100);
  readonly #exchanges = new Set<Exchange>();
  /** Body bytes of the exchanges that are over. */
  #carried = 0;
  /** Body bytes of all exchanges, at the last PING. */
  #carriedAtPing = 0;

  readonly #clientAddress: string | undefined;

  constructor({ socket, clientAddress }: Http2Client, limits: Http2Limits, carry: Carry) {
    this.#carry = carry;
    this.#clientAddress = clientAddress;
    const session = performServerHandshake(socket, sessionOptions(limits));
    this.#session = session;
    const preface = setTimeout(() => session.destroy(), limits.prefaceTimeoutMs);
    session.once("remoteSettings", () => clearTimeout(preface));
    session.once("close", () => {
      clearTimeout(preface);
      this.#closed.abort(new Error("Client has left"));
      this.upstreams[Symbol.dispose]();
    });
    // Followed by the close, which is what counts; a client may end its session in any way.
    session.on("error", () => clearTimeout(preface));
    session.on("stream", (stream, _headers, _flags, raw) => this.#take(stream, raw));
    session.on("ping", () => this.#takePing());
    session.on("remoteSettings", () => this.#spendControl());
    session.setTimeout(limits.keepAliveMs, () => {
      if (!this.isBusy) session.close();
    });
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  }

  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  get isBusy(): boolean {
    return this.#exchanges.size > 0;
  }

  /** Takes no further streams once the client knows, and ends after the last one. */
  shutDown(): void {
    const session = this.#session;
    if (session.destroyed) return;
    if (!this.isBusy) return session.close();
    // What the client sent before it learns of the end is still carried (RFC 9113, 6.8).
    session.goaway(constants.NGHTTP2_NO_ERROR, LAST_STREAM_ID);
    const close = () => {
      clearTimeout(timer);
      if (!session.destroyed) session.close();
    };
    // A client need not answer.
    const timer = setTimeout(close, LAST_STREAMS_MS);
    session.ping(close);
  }

  #take(stream: ServerHttp2Stream, raw: readonly string[]): void {
    const left = new AbortController();
    let isCarried = false;
    // Followed by the close, which is what counts.
    stream.on("error", () => undefined);
    stream.once("aborted", () => {
      if (!stream.headersSent && !this.#resets.spend(1)) this.#calm();
    });
    stream.once("close", () => {
      const isOver = stream.headersSent && stream.writableFinished && !stream.aborted;
      if (!isOver && !isCarried) left.abort(new Error("Client has left"));
    });
    if (this.#exchanges.size >= MAX_STREAMS + MAX_ABANDONED) return this.#calm();
    const clientAddress = this.#clientAddress;
    const exchange = readHttp2Exchange({
      ...{ stream, raw, connection: this, signal: left.signal, clientAddress },
    });
    if ("kind" in exchange) return refuseStream(stream, exchange);
    this.#exchanges.add(exchange);
    void this.#carry(exchange).finally(() => {
      isCarried = true;
      this.#exchanges.delete(exchange);
      this.#carried += exchange.traffic.received + exchange.traffic.sent;
    });
  }

  /** A gRPC client measures with a PING in each round trip that brings data, thousands in a second: those come free. */
  #takePing(): void {
    let carried = this.#carried;
    for (const { traffic } of this.#exchanges) carried += traffic.received + traffic.sent;
    const hasCarried = carried !== this.#carriedAtPing;
    this.#carriedAtPing = carried;
    if (!hasCarried) this.#spendControl();
  }

  #spendControl(): void {
    if (!this.#control.spend(this.isBusy ? CONTROL_WHILE_BUSY : 1)) this.#calm();
  }

  #calm(): void {
    if (!this.#session.destroyed) {
      this.#session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    }
  }
}

function sessionOptions({ headerBytes }: Http2Limits) {
  return {
    settings: {
      enableConnectProtocol: true,
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxConcurrentStreams: MAX_STREAMS,
      maxHeaderListSize: headerBytes,
    },
    maxSessionMemory: SESSION_MEMORY,
    maxHeaderListPairs: MAX_HEADER_PAIRS,
    maxSendHeaderBlockLength: RESPONSE_HEADER_BYTES,
    maxSessionInvalidFrames: MAX_INVALID_FRAMES,
    maxSessionRejectedStreams: MAX_REJECTED_STREAMS,
    // What an application repeats is passed on as it is.
    strictSingleValueFields: false,
  };
}
