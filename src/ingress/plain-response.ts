// The response to a plain request: written as bytes when it is plain, too, and by node:http's ServerResponse otherwise.

import { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Writable } from "node:stream";
import type { DirectHead, Exchange, ExchangeResponse, ResponseHead } from "./exchange.ts";
import type { HeaderMemory } from "./header-memory.ts";
import { REQUEST_ID_HEADER } from "./headers.ts";
import { earlyHints } from "./plain-heads.ts";

/** A body up to this goes out in one piece with the head. */
const JOINED_BYTES = 8 * 1024;

export class PlainResponse implements ExchangeResponse {
  readonly #socket: Socket;
  readonly #method: string;
  readonly #requestId: string;
  readonly #memory: HeaderMemory;
  #status: number | undefined;
  #streamed: ServerResponse | undefined;
  #isPlain = true;

  constructor(socket: Socket, { method, requestId, connection }: Exchange) {
    this.#socket = socket;
    this.#method = method;
    this.#requestId = requestId;
    this.#memory = connection.memory;
  }

  get status(): number | undefined {
    if (this.#streamed?.headersSent === true) return this.#streamed.statusCode;
    return this.#status;
  }

  /** What is on the connection after the response is read here, too. */
  get isPlain(): boolean {
    return this.#isPlain;
  }

  get body(): Writable {
    return this.#stream();
  }

  writeContinue(): void {
    this.#stream().writeContinue();
  }

  writeEarlyHints(link: string | string[]): void {
    this.#socket.write(earlyHints(link), "latin1");
  }

  start({ status, message, fields }: ResponseHead): void {
    this.#stream().sendDate = false;
    this.#stream().writeHead(status, message, [...fields]);
  }

  flush(): void {
    this.#stream().flushHeaders();
  }

  end(trailers: readonly [string, string][]): void {
    this.#stream().addTrailers([...trailers]);
    this.#stream().end();
  }

  cut(): void {
    this.#socket.destroy();
  }

  /** Writes a response of known length, or its beginning, without a stream; false when the connection is full. */
  startDirectly(head: DirectHead, first: Buffer): boolean {
    this.#status = head.status;
    const lines = this.#memory.answer(head);
    const text = `${lines}${REQUEST_ID_HEADER}: ${this.#requestId}\r\n\r\n`;
    const socket = this.#socket;
    if (first.length <= JOINED_BYTES)
      return socket.write(Buffer.from(text + first.toString("latin1"), "latin1"));
    socket.cork();
    socket.write(Buffer.from(text, "latin1"));
    const hasRoom = socket.write(Buffer.from(first));
    socket.uncork();
    return hasRoom;
  }

  leavePlain(): void {
    this.#isPlain = false;
  }

  onDrain(): void {
    this.#streamed?.emit("drain");
  }

  onClose(): void {
    this.#streamed?.destroy();
  }

  #stream(): ServerResponse {
    this.#streamed ??= openStream(this.#socket, this.#method);
    return this.#streamed;
  }
}

function openStream(socket: Socket, method: string): ServerResponse {
  const request = new IncomingMessage(socket);
  request.method = method;
  request.httpVersionMajor = 1;
  request.httpVersionMinor = 1;
  const response = new ServerResponse(request);
  response.assignSocket(socket);
  response.once("finish", () => response.detachSocket(socket));
  return response;
}
