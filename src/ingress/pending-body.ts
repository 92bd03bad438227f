// What has come of a request's body before anybody takes it, or takes more of it. It takes little more memory than its bytes, whatever the
// size of the pieces: a client that sends single bytes would otherwise have a hundred kept for each.

/** So many pieces become one. */
const JOINED_PIECES = 256;

export class PendingBody {
  #chunks: Buffer[] = [];
  /** Chunks, the first ones, that were joined already. */
  #joined = 0;

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    if (this.#chunks.length - this.#joined < JOINED_PIECES) return;
    this.#chunks.push(Buffer.concat(this.#chunks.splice(this.#joined)));
    this.#joined += 1;
  }

  /** All of it, in order, to be taken now. */
  take(): Buffer[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#joined = 0;
    return chunks;
  }
}
