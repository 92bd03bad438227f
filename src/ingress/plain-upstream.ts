// A connection to the application for plain messages, and the few that a client keeps between its requests. What is on
// the connection is one exchange's affair at a time; between exchanges the application may only close it.

import { connect, type Socket } from "node:net";
import type { TrafficLease } from "../microvms/lease.ts";
import { PlainAnswerReader } from "./plain-answers.ts";
import { ReadBuffers } from "./read-buffers.ts";

/** Whoever has the connection now. */
export interface PlainUpstreamUser {
  /** The chunk is overwritten afterwards: what is to be kept is to be copied, or kept as `buffers` does it. */
  onData(chunk: Buffer): void;
  onDrain(): void;
  /** The connection is no more. */
  onClose(error: Error | undefined): void;
}

export interface PlainTarget {
  readonly lease: TrafficLease;
  readonly port: number;
  readonly connectTimeoutMs: number;
}

/** An idle connection is given up before applications commonly do (gunicorn: 2 s, Node: 5 s). */
export const IDLE_MS = 1500;

export class PlainUpstream {
  readonly socket: Socket;
  readonly address: string;
  readonly port: number;
  /** Of the VMM behind the address; another VMM may get the same address later. */
  readonly signal: AbortSignal;
  readonly answers = new PlainAnswerReader();
  readonly buffers = new ReadBuffers();
  /** It has served before. */
  isReused = false;
  #user: PlainUpstreamUser | undefined;
  #error: Error | undefined;

  constructor({ lease, port, connectTimeoutMs }: PlainTarget) {
    this.address = lease.address;
    this.port = port;
    this.signal = lease.signal;
    const { buffers } = this;
    const onread = {
      buffer: () => buffers.next,
      callback: (bytes: number, buffer: Buffer) => this.#take(buffers.chunk(buffer, bytes)),
    };
    const socket = connect({ host: lease.address, port, noDelay: true, onread });
    this.socket = socket;
    const timer = setTimeout(() => {
      socket.destroy(new Error("Connection attempt timed out"));
    }, connectTimeoutMs);
    const onGone = () => socket.destroy();
    this.signal.addEventListener("abort", onGone, { once: true });
    if (this.signal.aborted) onGone();
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.setTimeout(IDLE_MS, () => {
        if (this.#user === undefined) socket.destroy();
      });
    });
    socket.on("drain", () => this.#user?.onDrain());
    socket.on("error", (error) => (this.#error = error));
    socket.once("end", () => socket.destroy());
    socket.once("close", () => {
      clearTimeout(timer);
      this.signal.removeEventListener("abort", onGone);
      this.#user?.onClose(this.#error);
    });
  }

  /** Whether the next request to the target may go over it. */
  leadsTo({ lease, port }: PlainTarget): boolean {
    return (
      this.signal === lease.signal &&
      this.port === port &&
      this.address === lease.address &&
      this.isUsable
    );
  }

  get isUsable(): boolean {
    return this.socket.writable && !this.signal.aborted;
  }

  #take(chunk: Buffer): boolean {
    // Nobody has asked anything.
    if (this.#user === undefined) this.socket.destroy();
    else this.#user.onData(chunk);
    return !this.socket.isPaused();
  }

  /** Gives the connection to an exchange, or to nobody until the next one. */
  assign(user: PlainUpstreamUser | undefined): void {
    this.#user = user;
  }
}

/** Connections of one client that wait for its next request: at most `limit`, the oldest gives way. */
export class PlainUpstreams implements Disposable {
  readonly #idle: PlainUpstream[] = [];
  readonly #limit: number;
  #isDisposed = false;
  #isUseful = true;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The applications that this client asks answer plainly, as far as is known. */
  get isUseful(): boolean {
    return this.#isUseful;
  }

  /** An answer was not plain: the next ones will not be either, and reading them twice costs their connection. */
  giveUp(): void {
    this.#isUseful = false;
  }

  /** A connection to the target for the one exchange; certainly a new one without `mayReuse`. */
  take(target: PlainTarget, mayReuse: boolean): PlainUpstream {
    for (let index = this.#idle.length - 1; mayReuse && index >= 0; index -= 1) {
      const kept = this.#idle[index];
      if (kept?.leadsTo(target) !== true) continue;
      this.#idle.splice(index, 1);
      kept.isReused = true;
      return kept;
    }
    return new PlainUpstream(target);
  }

  /** Keeps a connection whose exchange is over on both sides. */
  keep(connection: PlainUpstream): void {
    connection.assign(undefined);
    if (this.#isDisposed || !connection.isUsable) return void connection.socket.destroy();
    this.#idle.push(connection);
    while (this.#idle.length > this.#limit) this.#idle.shift()?.socket.destroy();
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    for (const { socket } of this.#idle.splice(0)) socket.destroy();
  }
}
