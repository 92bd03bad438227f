// Carries a plain exchange to the application and back without streams. An answer that is not plain is read by
// node:http's parser, from its first byte, and relayed like any other.

import { ServiceError } from "../errors.ts";
import type { DirectClient, DirectUser, Exchange } from "./exchange.ts";
import { framingFields, REQUEST_ID_HEADER } from "./headers.ts";
import { fieldLines } from "./plain-heads.ts";
import { type PlainUpstream, type PlainUpstreamUser } from "./plain-upstream.ts";
import { type Refusal, REFUSALS } from "./refusal.ts";
import { type AnswerReader, readAnswer } from "./upstream-answer.ts";
import { outgoingFraming } from "./upstream-http1.ts";
import { isReplayable, type Target, unreachable, type UpstreamResponse } from "./upstream.ts";

/** Chunks of a body for a slow application; each takes memory beyond its bytes. */
const MAX_UNSENT = 256;

interface PlainRoute {
  readonly exchange: Exchange;
  readonly client: DirectClient;
  readonly target: Target;
  /** Relays an answer that is not plain. */
  readonly relayOther: (answer: UpstreamResponse) => Promise<Refusal | undefined>;
}

/** How the exchange ends, once. */
interface Ending {
  resolve(outcome: Refusal | undefined | Promise<Refusal | undefined>): void;
  reject(error: Error): void;
}

/**
 * Sends the request and relays the answer. Resolves with a refusal when there was none; rejects when either side was cut
 * off midway.
 */
export function relayPlain(route: PlainRoute): Promise<Refusal | undefined> {
  const { exchange, target } = route;
  // Nobody would say so any more: a client that is gone closes only once.
  if (exchange.signal.aborted) return Promise.reject(unreachable(target.port, false));
  return new Promise((resolve, reject) => {
    const relay = new PlainRelay(route, { resolve, reject }, isReplayable(exchange));
    relay.send();
  });
}

class PlainRelay implements PlainUpstreamUser, DirectUser {
  readonly #route: PlainRoute;
  readonly #exchange: Exchange;
  readonly #client: DirectClient;
  readonly #upstream: PlainUpstream;
  readonly #ending: Ending;
  /** Chunks of the body that have not left. */
  #unsent = 0;
  #holdsBack = false;
  readonly #onSent = () => {
    this.#unsent -= 1;
    // Where the bytes alone would not have held the client back, nothing drains.
    const hasRoom = this.#unsent < MAX_UNSENT / 2 && !this.#upstream.socket.writableNeedDrain;
    if (this.#holdsBack && hasRoom && !this.#isOver) this.onDrain();
  };
  #isRequestSent = false;
  /** Bytes of the body still to come; undefined before the head. */
  #left: number | undefined;
  #isKept = false;
  /** The answer has come, whether or not the client has room for it. */
  #isOver = false;
  #isDone = false;
  #reader: AnswerReader | undefined;

  constructor(route: PlainRoute, ending: Ending, mayReuse: boolean) {
    const { exchange, client, target } = route;
    this.#route = route;
    this.#exchange = exchange;
    this.#client = client;
    this.#ending = ending;
    this.#upstream = exchange.connection.upstreams.plain.take(target, mayReuse);
    this.#upstream.assign(this);
  }

  onBody(chunk: Buffer): boolean {
    const { socket } = this.#upstream;
    if (socket.destroyed) return true;
    this.#unsent += 1;
    const hasRoom = socket.write(chunk, this.#onSent);
    this.#holdsBack = !hasRoom || this.#unsent >= MAX_UNSENT;
    return !this.#holdsBack;
  }

  onBodyEnd(): void {
    this.#isRequestSent = true;
  }

  onClientDrain(): void {
    if (this.#reader !== undefined) return;
    if (this.#isOver) this.#done();
    else this.#upstream.socket.resume();
  }

  onClientClose(): void {
    if (this.#isDone) return;
    // After the answer the connection is no longer this exchange's.
    if (!this.#isOver) this.#upstream.socket.destroy();
    this.#ending.reject(cutOff());
  }

  onDrain(): void {
    this.#holdsBack = false;
    this.#client.resumeBody();
  }

  onData(chunk: Buffer): void {
    if (this.#reader !== undefined) this.#reader.push(Buffer.from(chunk));
    else if (this.#left === undefined) this.#readHead(chunk);
    else this.#relay(chunk, this.#left);
  }

  onClose(error: Error | undefined): void {
    if (this.#reader !== undefined) return this.#reader.end(error);
    if (this.#left !== undefined) return this.#ending.reject(cutOff(error));
    // Dead before the answer, perhaps already when it was taken: nobody else's connection is tried instead.
    const mayRepeat = this.#upstream.isReused && !this.#exchange.signal.aborted;
    if (mayRepeat) new PlainRelay(this.#route, this.#ending, false).send();
    else this.#fail();
  }

  /** Once. */
  send(): void {
    const { socket } = this.#upstream;
    const head = Buffer.from(requestHead(this.#exchange), "latin1");
    if (this.#exchange.framing.kind === "none") {
      socket.write(head);
      this.#client.attach(this);
      return;
    }
    // The beginning of the body goes out with the head.
    socket.cork();
    socket.write(head);
    this.#client.attach(this);
    socket.uncork();
  }

  #readHead(chunk: Buffer): void {
    const answer = this.#upstream.answers.read(chunk, this.#exchange.method);
    if (answer === undefined) return this.#readOtherwise(chunk);
    const { head, end, bodyBytes, isKept } = answer;
    const first = chunk.subarray(end, end + bodyBytes);
    // More than was announced belongs to nobody.
    this.#isKept = isKept && chunk.length <= end + bodyBytes;
    const hasRoom = this.#client.start(head, first, first.length === bodyBytes);
    this.#sent(first.length, bodyBytes, hasRoom);
  }

  #relay(chunk: Buffer, left: number): void {
    const part = chunk.length > left ? chunk.subarray(0, left) : chunk;
    if (part.length < chunk.length) this.#isKept = false;
    this.#sent(part.length, left, this.#client.write(this.#upstream.buffers.keep(part)));
  }

  #sent(bytes: number, left: number, hasRoom: boolean): void {
    this.#exchange.traffic.sent += bytes;
    this.#left = left - bytes;
    if (this.#left === 0) this.#over(hasRoom);
    else if (!hasRoom) this.#upstream.socket.pause();
  }

  /** The answer is whole: the connection is free, and the exchange ends when the client has room again. */
  #over(hasRoom: boolean): void {
    this.#isOver = true;
    const { upstreams } = this.#exchange.connection;
    this.#upstream.buffers.share();
    if (this.#isKept && this.#isRequestSent) {
      upstreams.plain.keep(this.#upstream);
    } else {
      this.#upstream.assign(undefined);
      this.#upstream.socket.destroy();
    }
    if (hasRoom) this.#done();
  }

  #done(): void {
    this.#isDone = true;
    this.#client.end();
    this.#ending.resolve(undefined);
  }

  #readOtherwise(first: Buffer): void {
    this.#client.leave();
    this.#exchange.connection.upstreams.plain.giveUp();
    const { socket } = this.#upstream;
    this.#reader = readAnswer(this.#exchange, socket, {
      onAnswer: (answer) => this.#ending.resolve(this.#route.relayOther(answer)),
      onFailure: () => this.#fail(),
    });
    this.#reader.push(Buffer.from(first));
  }

  /** There is no answer, and there will be none. */
  #fail(): void {
    const { lease, port } = this.#route.target;
    const { resolve, reject } = this.#ending;
    if (this.#exchange.signal.aborted) reject(unreachable(port, false));
    else if (lease.signal.aborted) resolve(REFUSALS.microvmConnectFailed);
    else resolve(REFUSALS.appConnectFailed);
  }
}

/** The request's head as text: a string is cheaper to put together than a list. */
function requestHead(exchange: Exchange): string {
  const { method, target, requestId, connection, fields } = exchange;
  const crossing = connection.memory.crossing(fields);
  const framing = fieldLines(framingFields(outgoingFraming(exchange)));
  return `${method} ${target} HTTP/1.1\r\n${crossing}${REQUEST_ID_HEADER}: ${requestId}\r\n${framing}Connection: keep-alive\r\n\r\n`;
}

function cutOff(cause?: Error): ServiceError {
  return new ServiceError("GUEST_UNREACHABLE", "Response was cut off", { cause });
}
