// The streams of a session: those that are there, those that were, and whose turn it is to send.

import { CODE, ConnectionError } from "./codes.ts";
import type { ServerStream } from "./stream.ts";

/** Streams whose end is remembered, for what the client sent before it knew of it. A power of two. */
const REMEMBERED = 256;
/** The highest bit; numbers of streams do not have it. */
const RESET = 2 ** 31;

export class Streams {
  readonly #byId = new Map<number, ServerStream>();
  readonly #waiting = new Set<ServerStream>();
  /** A ring: streams end thousands of times a second, and are hardly ever asked about. */
  readonly #ended = new Uint32Array(REMEMBERED);
  #nextEnded = 0;
  #lastId = 0;

  get size(): number {
    return this.#byId.size;
  }

  /** The last one that was begun. */
  get lastId(): number {
    return this.#lastId;
  }

  /** The streams as they are now. */
  all(): ServerStream[] {
    return [...this.#byId.values()];
  }

  get(streamId: number): ServerStream | undefined {
    return this.#byId.get(streamId);
  }

  /** The stream, or undefined for one that is over. Throws ConnectionError for one that has not begun. */
  find(streamId: number): ServerStream | undefined {
    const stream = this.#byId.get(streamId);
    const isNew = streamId > this.#lastId || streamId % 2 === 0;
    if (stream === undefined && isNew && this.howEnded(streamId) === undefined)
      throw new ConnectionError(CODE.protocolError, "Stream has not begun");
    return stream;
  }

  add(stream: ServerStream): void {
    this.#lastId = stream.id;
    this.#byId.set(stream.id, stream);
  }

  remove(stream: ServerStream): void {
    this.#byId.delete(stream.id);
    this.#waiting.delete(stream);
    this.#remember(stream.wasResetHere ? stream.id + RESET : stream.id);
  }

  /** As if it had been reset here: what the client sends on it is not looked at. */
  ignore(streamId: number): void {
    this.#remember(streamId + RESET);
  }

  /** Whether the client knows, as it has ended or reset the stream itself; undefined for one never there, or forgotten. */
  howEnded(streamId: number): "unknown to the client" | "known" | undefined {
    if (this.#ended.includes(streamId + RESET)) return "unknown to the client";
    return streamId !== 0 && this.#ended.includes(streamId) ? "known" : undefined;
  }

  /** Flushes the stream with the next `flushWaiting`. */
  wait(stream: ServerStream): void {
    this.#waiting.add(stream);
  }

  /** In turn: whoever is not done when there is no more room waits behind the others. */
  flushWaiting(hasRoom: () => boolean): void {
    let left = this.#waiting.size;
    for (const stream of this.#waiting) {
      if (left === 0 || !hasRoom()) return;
      left -= 1;
      this.#waiting.delete(stream);
      stream.output.flush();
    }
  }

  #remember(entry: number): void {
    this.#ended[this.#nextEnded] = entry;
    this.#nextEnded = (this.#nextEnded + 1) & (REMEMBERED - 1);
  }
}
