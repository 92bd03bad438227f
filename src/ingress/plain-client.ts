// A client connection over HTTP/1.1 while its requests are plain: they are read here and answered without node:http's
// objects. The first that is not plain takes the connection over to node:http for good, from that request's first byte.
//
// INVARIANTS
// - One exchange at a time; what the client sends ahead waits, and is bounded.
// - node:http gets the connection only between exchanges.

import type { Socket } from "node:net";
import type { Exchange } from "./exchange.ts";
import type { Http1Connection } from "./http1-connection.ts";
import { PlainExchange } from "./plain-exchange.ts";
import { PlainRequestReader } from "./plain-requests.ts";

export interface PlainClientHooks {
  /** Takes an exchange to its end; does not reject. */
  carry(exchange: Exchange): Promise<void>;
  /** Reads the connection from now on, `bytes` first. */
  handOver(bytes: Buffer): void;
}

/** Bytes of further requests that a client may send before its answer; beyond, it is cut. */
const MAX_AHEAD_BYTES = 32 * 1024;

export class PlainClient {
  readonly #socket: Socket;
  readonly #connection: Http1Connection;
  readonly #hooks: PlainClientHooks;
  readonly #onData = (chunk: Buffer) => this.#take(chunk);
  readonly #onDrain = () => this.#exchange?.onDrain();
  readonly #reader = new PlainRequestReader();
  #exchange: PlainExchange | undefined;
  /** What came after the request in flight. */
  #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #waitsSince = performance.now();
  #hasServed = false;
  #isPlain = true;

  constructor(socket: Socket, connection: Http1Connection, hooks: PlainClientHooks) {
    this.#socket = socket;
    this.#connection = connection;
    this.#hooks = hooks;
    socket.on("data", this.#onData);
    socket.on("drain", this.#onDrain);
    socket.once("close", () => this.#exchange?.onClose());
    // Followed by the close, which is what counts; a client may end its connection in any way.
    socket.on("error", () => socket.destroy());
  }

  /** How long the client has been silent where it should send a request; 0 while it need not, or is read elsewhere. */
  silentMs(now: number): { readonly ms: number; readonly hasServed: boolean } {
    const waits = this.#isPlain && this.#exchange === undefined;
    return { ms: waits ? now - this.#waitsSince : 0, hasServed: this.#hasServed };
  }

  /** Closes the connection, on which the client waits for nothing. */
  end(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return this.#next(chunk);
    const rest = exchange.takeBody(chunk);
    if (rest.length > 0) this.#hold(rest);
    else if (exchange.isOver) this.#goOn();
  }

  #hold(bytes: Buffer): void {
    this.#ahead.push(bytes);
    this.#aheadBytes += bytes.length;
    if (this.#aheadBytes > MAX_AHEAD_BYTES) this.#socket.destroy();
    else if (this.#exchange?.isOver === true) this.#goOn();
  }

  #next(bytes: Buffer): void {
    // What was sent ahead by a client that has left.
    if (this.#socket.destroyed) return;
    const read = this.#reader.read(bytes);
    if (read === undefined) return this.#handOver(bytes);
    const exchange = new PlainExchange(this.#socket, read.head, this.#connection);
    this.#exchange = exchange;
    this.#hasServed = true;
    if (read.end < bytes.length) {
      const rest = exchange.takeBody(bytes.subarray(read.end));
      if (rest.length > 0) this.#hold(rest);
    }
    this.#connection.begin();
    void this.#hooks.carry(exchange).then(() => {
      this.#connection.end();
      exchange.finish();
      // The rest of its body is still read, for a while: who is cut while sending never sees the answer.
      if (exchange.isOver) this.#goOn();
    });
  }

  #goOn(): void {
    if (this.#connection.isClosing) this.#socket.destroySoon();
    else this.#release();
  }

  /** The exchange is over on both sides: on to the next. */
  #release(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#waitsSince = performance.now();
    const ahead = this.#aheadBytes > 0 ? Buffer.concat(this.#ahead) : undefined;
    this.#ahead = [];
    this.#aheadBytes = 0;
    if (exchange?.response.isPlain === false) this.#handOver(ahead);
    else if (ahead !== undefined) this.#next(ahead);
  }

  #handOver(bytes: Buffer = Buffer.alloc(0)): void {
    if (this.#socket.destroyed) return;
    this.#isPlain = false;
    this.#socket.off("data", this.#onData);
    this.#socket.off("drain", this.#onDrain);
    this.#hooks.handOver(bytes);
  }
}
