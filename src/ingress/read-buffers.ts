// What connections to applications are read into. Most answers are done with before anything else is read: all of these
// share one buffer. A body that streams has its chunks in buffers of their own, which go round: new ones would cost more
// than the reading.

const BUFFER_BYTES = 64 * 1024;
/** A smaller chunk is copied: in a buffer of its own it would hold far more than what waits for a slow client counts for. */
const LEAST_KEPT_BYTES = BUFFER_BYTES / 4;
/** Four megabytes that are kept for the next bodies. */
const MAX_SPARE = 64;
const SHARED = Buffer.allocUnsafeSlow(BUFFER_BYTES);
const spare: Buffer[] = [];

/** A chunk that outlives its reading, until it is released; not released, it is merely lost to others. */
export interface KeptChunk {
  readonly bytes: Buffer;
  release(): void;
}

/** Of one connection. */
export class ReadBuffers {
  #next: Buffer = SHARED;
  #current: Buffer = SHARED;

  /** What is read into next. */
  get next(): Buffer {
    return this.#next;
  }

  /** What was read, `bytes` of it, into the buffer; overwritten by the next reading on any connection, unless kept. */
  chunk(buffer: Buffer, bytes: number): Buffer {
    this.#current = buffer;
    return buffer.subarray(0, bytes);
  }

  /** Keeps the chunk, or its part, while it is being taken; what follows is read elsewhere. */
  keep(chunk: Buffer): KeptChunk {
    if (chunk.length < LEAST_KEPT_BYTES) return { bytes: Buffer.from(chunk), release: NOTHING };
    const isShared = this.#current === SHARED;
    const buffer = isShared ? take() : this.#current;
    if (isShared) chunk.copy(buffer);
    this.#next = take();
    const bytes = isShared ? buffer.subarray(0, chunk.length) : chunk;
    return { bytes, release: () => give(buffer) };
  }

  /** The body is over. While a chunk is being taken: only then is the connection told where to read next. */
  share(): void {
    if (this.#next !== this.#current && this.#next !== SHARED) give(this.#next);
    this.#next = SHARED;
  }
}

const NOTHING = () => undefined;

function take(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
}

function give(buffer: Buffer): void {
  if (spare.length < MAX_SPARE) spare.push(buffer);
}
