// One client connection over HTTP/1.1. Its requests are carried one after the other, whatever the client pipelines:
// their effects happen in the order sent, and the number in flight per connection is one.

import type { Socket } from "node:net";
import type { ClientConnection } from "./exchange.ts";
import { HeaderMemory } from "./header-memory.ts";
import { Upstreams } from "./upstreams.ts";

/** Requests a client may have pipelined behind the one in flight. */
const MAX_WAITING = 32;

export class Http1Connection implements ClientConnection {
  readonly upstreams = new Upstreams();
  readonly memory = new HeaderMemory();
  readonly #socket: Socket;
  readonly #left = new AbortController();
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #isClosing = false;

  /** Not the peer's, where a balancer stands between. */
  readonly clientAddress: string | undefined;

  constructor(socket: Socket, clientAddress: string | undefined) {
    this.clientAddress = clientAddress;
    this.#socket = socket;
    socket.once("close", () => {
      this.#left.abort(new Error("Client has left"));
      this.upstreams[Symbol.dispose]();
    });
  }

  /** Aborts when the client has left. */
  get signal(): AbortSignal {
    return this.#left.signal;
  }

  get isBusy(): boolean {
    return this.#waiting > 0;
  }

  /** Ends with the exchange in flight. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Takes no further requests. */
  shutDown(): void {
    this.#isClosing = true;
    if (this.isBusy) return;
    // The last answer may still be on its way out.
    if (this.#socket.writableLength > 0) this.#socket.destroySoon();
    else this.#socket.destroy();
  }

  /** Counts an exchange that is carried without the queue, as nothing else is on the connection; `end` is its end. */
  begin(): void {
    this.#waiting += 1;
  }

  end(): void {
    this.#waiting -= 1;
  }

  /** Runs `task` after those before it. `task` does not reject. A client that pipelines too much is cut. */
  enqueue(task: () => Promise<void>): void {
    if (this.#waiting > MAX_WAITING) {
      this.#socket.destroy();
      return;
    }
    this.begin();
    this.#last = this.#last.then(async () => {
      if (!this.signal.aborted && !this.#isClosing) await task();
      this.end();
    });
  }
}
