// A stream of HTTP/2 as a stream of Node, for whoever joins it with others.

import { Duplex } from "node:stream";
import { CODE } from "./codes.ts";
import type { ServerStream } from "./stream.ts";

export class StreamDuplex extends Duplex {
  readonly #stream: ServerStream;
  readonly #onRead: () => void;
  #trailers: readonly string[] = [];
  #onRoom: (() => void) | undefined;

  /** `onRead` is called when more of the body is wanted. */
  constructor(stream: ServerStream, onRead: () => void) {
    super();
    this.#stream = stream;
    this.#onRead = onRead;
  }

  /** Ends it with trailer fields, name and value in turn. */
  endWith(trailers: readonly string[]): void {
    this.#trailers = trailers;
    this.end();
  }

  /** The stream takes more. */
  onDrain(): void {
    const onRoom = this.#onRoom;
    this.#onRoom = undefined;
    onRoom?.();
  }

  override _read(): void {
    this.#onRead();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#stream.output.write(chunk, () => undefined)) done();
    else this.#onRoom = done;
  }

  override _final(done: () => void): void {
    if (this.#stream.isClosed || this.#stream.output.hasSentEnd) done();
    else this.#stream.output.end(this.#trailers, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream.reset(error === null ? CODE.cancel : CODE.internalError);
    done(error);
  }
}
