// One plain request and its response on a client connection. Bytes go straight between the connection and whoever
// carries the exchange (`direct`); for everybody else there is a stream for each body, made when first asked for.

import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import {
  type ByteCount,
  type ClientConnection,
  type DirectClient,
  type DirectHead,
  type DirectUser,
  DRAIN_BYTES,
  DRAIN_MS,
  type Exchange,
} from "./exchange.ts";
import type { Framing, RawHeaders } from "./headers.ts";
import type { Http1Connection } from "./http1-connection.ts";
import { PendingBody } from "./pending-body.ts";
import type { PlainRequestHead } from "./plain-heads.ts";
import type { KeptChunk } from "./read-buffers.ts";
import { PlainResponse } from "./plain-response.ts";

/** Body bytes kept for whoever will take them. */
const MAX_PENDING_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);

export class PlainExchange implements Exchange, DirectClient {
  readonly requestId = randomUUID();
  readonly httpVersion = "1.1";
  clientAddress: string | undefined;
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  fields: RawHeaders;
  readonly framing: Framing;
  readonly expectsContinue = false;
  readonly upgrade = undefined;
  readonly connection: ClientConnection;
  readonly signal: AbortSignal;
  readonly traffic: ByteCount = { received: 0, sent: 0 };
  readonly response: PlainResponse;
  readonly #socket: Socket;
  #bodyLeft: number;
  readonly #pending = new PendingBody();
  #pendingBytes = 0;
  #user: DirectUser | undefined;
  #stream: Readable | undefined;
  /** Bytes that may still be thrown away; undefined while the body is wanted. */
  #discardable: number | undefined;
  #discardTimer: NodeJS.Timeout | undefined;
  #isCarried = false;

  constructor(socket: Socket, head: PlainRequestHead, connection: Http1Connection) {
    this.#socket = socket;
    this.method = head.method;
    this.target = head.target;
    this.authority = head.host;
    this.fields = head.fields;
    this.framing = head.framing;
    this.#bodyLeft = head.bodyBytes;
    this.clientAddress = connection.clientAddress;
    this.connection = connection;
    this.signal = connection.signal;
    this.response = new PlainResponse(socket, this);
  }

  get direct(): DirectClient {
    return this;
  }

  /** The request's body as a stream. */
  get body(): Readable {
    this.#stream ??= this.#openStream();
    return this.#stream;
  }

  trailers(): RawHeaders | undefined {
    return this.#bodyLeft === 0 ? [] : undefined;
  }

  /** Carried, answered and read to its end: the next request may begin. */
  get isOver(): boolean {
    return this.#isCarried && this.#bodyLeft === 0;
  }

  /** Takes the part of the chunk that is this request's body; returns what follows it. */
  takeBody(chunk: Buffer): Buffer {
    if (this.#bodyLeft === 0) return chunk;
    const isMore = chunk.length > this.#bodyLeft;
    const part = isMore ? chunk.subarray(0, this.#bodyLeft) : chunk;
    this.#bodyLeft -= part.length;
    const user = this.#user;
    if (this.#discardable !== undefined) this.#discard(part.length);
    else if (user === undefined) this.#keep(part);
    else {
      this.#pass(user, part);
      if (this.#bodyLeft === 0) user.onBodyEnd();
    }
    return isMore ? chunk.subarray(part.length) : NOTHING;
  }

  attach(user: DirectUser): void {
    this.#user = user;
    this.resumeBody();
    for (const chunk of this.#pending.take()) this.#pass(user, chunk);
    if (this.#bodyLeft === 0) user.onBodyEnd();
  }

  resumeBody(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  start(head: DirectHead, first: Buffer): boolean {
    return this.response.startDirectly(head, first);
  }

  write({ bytes, release }: KeptChunk): boolean {
    return this.#socket.write(bytes, release);
  }

  end(): void {
    this.#user = undefined;
  }

  leave(): void {
    this.response.leavePlain();
  }

  discardRest(): void {
    this.#user = undefined;
    this.#pending.take();
    if (this.#socket.destroyed) return;
    // Whoever held the client back has let go of it, perhaps without a word: it may be about to send its next request.
    this.resumeBody();
    if (this.#bodyLeft === 0) return;
    this.#discardable = DRAIN_BYTES;
    this.#discardTimer = setTimeout(() => this.#socket.destroy(), DRAIN_MS);
  }

  /** Whoever carried the exchange is done with it. */
  finish(): void {
    this.#isCarried = true;
  }

  onDrain(): void {
    this.response.onDrain();
    this.#user?.onClientDrain();
  }

  onClose(): void {
    clearTimeout(this.#discardTimer);
    this.#stream?.destroy();
    this.response.onClose();
    this.#user?.onClientClose();
  }

  #pass(user: DirectUser, part: Buffer): void {
    this.traffic.received += part.length;
    if (!user.onBody(part)) this.#socket.pause();
  }

  #keep(part: Buffer): void {
    this.#pending.add(part);
    this.#pendingBytes += part.length;
    if (this.#pendingBytes >= MAX_PENDING_BYTES) this.#socket.pause();
  }

  #discard(bytes: number): void {
    this.#discardable = (this.#discardable ?? 0) - bytes;
    if (this.#bodyLeft === 0) clearTimeout(this.#discardTimer);
    else if (this.#discardable < 0) this.#socket.destroy();
  }

  #openStream(): Readable {
    const stream = new Readable({ read: () => this.resumeBody() });
    this.attach({
      onBody: (chunk) => {
        // Whoever carries the exchange by streams counts for itself.
        this.traffic.received -= chunk.length;
        return stream.push(chunk);
      },
      onBodyEnd: () => void stream.push(null),
      onClientDrain: () => undefined,
      onClientClose: () => void stream.destroy(),
    });
    return stream;
  }
}
