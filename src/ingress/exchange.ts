// One request and its response on a client connection, from the ingress's point of view and whatever the HTTP version.

import type { Duplex, Readable, Writable } from "node:stream";
import type { HeaderMemory } from "./header-memory.ts";
import type { Framing, RawHeaders } from "./headers.ts";
import type { KeptChunk } from "./read-buffers.ts";
import type { ClientUpstreams } from "./upstreams.ts";

export interface Exchange {
  readonly requestId: string;
  /** `1.1` or `2`; what the client spoke. */
  readonly httpVersion: string;
  /** As far as the balancers that are believed tell it; undefined for a connection that is gone. */
  clientAddress: string | undefined;
  readonly method: string;
  /** Origin-form, or `*`. */
  readonly target: string;
  /** `Host`, or `:authority`. */
  readonly authority: string | undefined;
  /** As sent, but for what proxies said and the trace that it is part of; over HTTP/2 without pseudo-header fields and with `Host`. */
  fields: RawHeaders;
  readonly framing: Framing;
  readonly expectsContinue: boolean;
  readonly body: Readable;
  /** The trailer fields of a body that has ended as it should; undefined when it was cut off. */
  trailers(): RawHeaders | undefined;
  readonly response: ExchangeResponse;
  readonly connection: ClientConnection;
  /** Set when the client asked for another protocol; the connection or stream is then the exchange's own. */
  readonly upgrade: UpgradeRequest | undefined;
  /** Aborts when the client has left or the service ends. */
  readonly signal: AbortSignal;
  readonly traffic: ByteCount;
  /** Deals with what is left of the request after its response. */
  discardRest(): void;
  /** Set when the exchange can be carried without the streams of its bodies. */
  readonly direct?: DirectClient | undefined;
}

/** The client's connection: one exchange after another, or several side by side. */
export interface ClientConnection {
  readonly upstreams: ClientUpstreams;
  readonly memory: HeaderMemory;
  /** Aborts when it is closed. */
  readonly signal: AbortSignal;
  /** Takes no further requests, and ends after what it carries. */
  shutDown(): void;
}

/** The client's side of an exchange without streams: its bytes as they come, and what is to be sent as it is. */
export interface DirectClient {
  /** From now on the request's body goes to `user`, what has come already first. */
  attach(user: DirectUser): void;
  /** After `onBody` has said false. */
  resumeBody(): void;
  /**
   * Sends head, with the request's id, and the body so far, which may be all of it and is overwritten afterwards. False:
   * send more only after `onClientDrain`.
   */
  start(head: DirectHead, first: Buffer, isWhole: boolean): boolean;
  /** As `start`; releases the chunk once it is sent. */
  write(chunk: KeptChunk): boolean;
  /** The response is whole, as its Content-Length has said. */
  end(): void;
  /** The response is sent through its stream after all. */
  leave(): void;
}

/** Of a response of known length. Never changed once made: what follows from it may be remembered. */
export interface DirectHead {
  readonly status: number;
  /** Of HTTP/1.1 alone. */
  readonly message: string;
  readonly fields: RawHeaders;
}

export interface DirectUser {
  /** False: takes more only after `resumeBody`. */
  onBody(chunk: Buffer): boolean;
  onBodyEnd(): void;
  onClientDrain(): void;
  onClientClose(): void;
}

export interface ResponseHead {
  readonly status: number;
  /** Of HTTP/1.1 alone. */
  readonly message: string;
  readonly fields: RawHeaders;
  /** Nothing follows the header. */
  readonly isEmpty?: boolean;
}

export interface ExchangeResponse {
  /** What the client was told; undefined before that. */
  readonly status: number | undefined;
  readonly body: Writable;
  writeContinue(): void;
  writeEarlyHints(link: string | string[]): void;
  /** Throws TypeError or RangeError for a header that cannot be written. */
  start(head: ResponseHead): void;
  /** Sends the header although there is no body yet. */
  flush(): void;
  end(trailers: readonly [string, string][]): void;
  /** Ends the response so that it does not look complete. `code` is that of HTTP/2. */
  cut(code?: number): void;
}

export interface UpgradeRequest {
  readonly protocol: string;
  /** What the client sent after its request. */
  readonly head: Buffer;
  /** Whether the answer of the application is one to this hand-shake. */
  isAnsweredBy(fields: RawHeaders): boolean;
  /** Tells the client that the application agreed; the bytes of the new protocol go through the result. */
  accept(head: UpgradeHead): Duplex;
}

export interface UpgradeHead {
  readonly message: string;
  readonly protocol: string;
  readonly fields: RawHeaders;
}

/** Body bytes so far. */
export interface ByteCount {
  received: number;
  sent: number;
}

/** Fields beyond this are an attack, not a request; the header's size is bounded by the parser. */
export const MAX_FIELDS = 256;
/** Largest request header: token and cookies fit many times over. */
export const MAX_HEADER_BYTES = 32 * 1024;
/** Between requests of a client; longer than the usual 60 s of load balancers, which then close first. */
export const KEEP_ALIVE_SECONDS = 75;
/** What is read of a request after its answer, so that a client still sending gets to see the answer. */
export const DRAIN_BYTES = 1024 * 1024;
export const DRAIN_MS = 2000;
/** Early hints (103) of one exchange that are passed on: they have no backpressure, so an application could fill memory with them. */
export const MAX_EARLY_HINTS = 8;
