// Carries a plain exchange to the application and back without streams. An answer that is not plain is read by
// node:http's parser, from its first byte, and relayed like any other.

import { ServiceError } from "../errors.ts";
import type { DirectClient, DirectUser, Exchange } from "./exchange.ts";
import { framingFields, REQUEST_ID_HEADER, responseHeaders } from "./headers.ts";
import { fieldLines, readPlainResponse } from "./plain-heads.ts";
import { type PlainUpstream, type PlainUpstreamUser } from "./plain-upstream.ts";
import { type Refusal, REFUSALS } from "./refusal.ts";
import { type AnswerReader, readAnswer } from "./upstream-answer.ts";
import { outgoingFraming, RESPONSE_HEADER_LIMIT } from "./upstream-http1.ts";
import { isReplayable, type Target, unreachable, type UpstreamResponse } from "./upstream.ts";

const HEAD_END = "\r\n\r\n";

/** The exchange is over; or its answer is to be relayed; or a kept connection was dead before the answer. */
type Outcome = "done" | "stale" | "unreachable" | UpstreamResponse;

/**
 * Sends the request and relays a plain answer. Resolves with any other answer, and with a refusal when there was none;
 * rejects when either side was cut off midway.
 */
export async function relayPlain(
  exchange: Exchange,
  client: DirectClient,
  target: Target,
): Promise<UpstreamResponse | Refusal | undefined> {
  const mayReplay = isReplayable(exchange);
  let outcome = await new PlainRelay(exchange, client, target, mayReplay).outcome;
  if (outcome === "stale") {
    outcome = await new PlainRelay(exchange, client, target, false).outcome;
  }
  if (outcome === "done") return undefined;
  if (typeof outcome !== "string") return outcome;
  if (exchange.signal.aborted) throw unreachable(target.port, false);
  return target.lease.signal.aborted ? REFUSALS.microvmConnectFailed : REFUSALS.appConnectFailed;
}

class PlainRelay implements PlainUpstreamUser, DirectUser {
  readonly outcome: Promise<Outcome>;
  readonly #exchange: Exchange;
  readonly #client: DirectClient;
  readonly #upstream: PlainUpstream;
  #resolve: (outcome: Outcome) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  #isRequestSent = false;
  /** Bytes of the body still to come; undefined before the head. */
  #left: number | undefined;
  #isKept = false;
  /** The answer has come, whether or not the client has room for it. */
  #isOver = false;
  #isDone = false;
  #reader: AnswerReader | undefined;

  constructor(exchange: Exchange, client: DirectClient, target: Target, mayReuse: boolean) {
    this.#exchange = exchange;
    this.#client = client;
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#upstream = exchange.connection.upstreams.plain.take(target, mayReuse);
    this.#upstream.assign(this);
    this.#send();
  }

  onBody(chunk: Buffer): boolean {
    const { socket } = this.#upstream;
    return socket.destroyed || socket.write(chunk);
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
    this.#reject(cutOff());
  }

  onDrain(): void {
    this.#client.resumeBody();
  }

  onData(chunk: Buffer): void {
    if (this.#reader !== undefined) this.#reader.push(chunk);
    else if (this.#left === undefined) this.#readHead(chunk);
    else this.#relay(chunk, this.#left);
  }

  onClose(error: Error | undefined): void {
    if (this.#reader !== undefined) return this.#reader.end(error);
    if (this.#left !== undefined) return this.#reject(cutOff(error));
    this.#resolve(this.#upstream.isReused ? "stale" : "unreachable");
  }

  #send(): void {
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
    const end = chunk.indexOf(HEAD_END);
    const isPossible = end >= 0 && end <= RESPONSE_HEADER_LIMIT;
    const { method, requestId } = this.#exchange;
    const head = isPossible
      ? readPlainResponse(chunk.toString("latin1", 0, end), method)
      : undefined;
    if (head === undefined) return this.#readOtherwise(chunk);
    const { status, message, bodyBytes } = head;
    const body = chunk.subarray(end + HEAD_END.length);
    const first = body.length > bodyBytes ? body.subarray(0, bodyBytes) : body;
    // More than was announced belongs to nobody.
    this.#isKept = head.isKept && body.length <= bodyBytes;
    const fields = responseHeaders(head.fields, requestId);
    const hasRoom = this.#client.start(
      { status, message, fields },
      first,
      first.length === bodyBytes,
    );
    this.#sent(first.length, bodyBytes, hasRoom);
  }

  #relay(chunk: Buffer, left: number): void {
    const part = chunk.length > left ? chunk.subarray(0, left) : chunk;
    if (part.length < chunk.length) this.#isKept = false;
    this.#sent(part.length, left, this.#client.write(part));
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
    this.#resolve("done");
  }

  #readOtherwise(first: Buffer): void {
    this.#client.leave();
    this.#exchange.connection.upstreams.plain.giveUp();
    const { socket } = this.#upstream;
    this.#reader = readAnswer(this.#exchange, socket, {
      onAnswer: (answer) => this.#resolve(answer),
      onFailure: () => this.#resolve("unreachable"),
    });
    this.#reader.push(first);
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
