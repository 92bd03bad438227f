// How the last streams of a session ended, for what the client sent before it knew of it.

/** A power of two. */
const REMEMBERED = 256;
/** The highest bit; numbers of streams do not have it. */
const RESET = 2 ** 31;

export class EndedStreams {
  /** A ring: streams end thousands of times a second, and are hardly ever asked about. */
  readonly #ring = new Uint32Array(REMEMBERED);
  #next = 0;

  add(streamId: number, isReset: boolean): void {
    this.#ring[this.#next] = isReset ? streamId + RESET : streamId;
    this.#next = (this.#next + 1) & (REMEMBERED - 1);
  }

  /** Undefined for one that was never there, or is forgotten. */
  howEnded(streamId: number): "reset" | "well" | undefined {
    if (this.#ring.includes(streamId + RESET)) return "reset";
    return streamId !== 0 && this.#ring.includes(streamId) ? "well" : undefined;
  }
}
