// Holds streams to a number of bytes a second that they share, by letting each piece wait for its turn: what is too fast
// becomes late, and whoever sends it is held back by the streams themselves.

import { type Readable, Transform, type Writable } from "node:stream";

/** What may pass at once after a rest, in milliseconds of the rate. */
const BURST_MS = 1000;

export class Pace {
  readonly #msPerByte: number;
  readonly #now: () => number;
  /** When all that was let through so far would have passed at the rate alone; ms. */
  #freeAt: number;

  /** `now` in milliseconds; monotonic. */
  constructor(bytesPerSecond: number, now: () => number) {
    this.#msPerByte = 1000 / bytesPerSecond;
    this.#now = now;
    this.#freeAt = now() - BURST_MS;
  }

  /** Whether anybody would have to wait. */
  get isBusy(): boolean {
    return this.#freeAt > this.#now();
  }

  /** Gives a piece its turn, after those before it; in how many milliseconds that is. */
  take(bytes: number): number {
    const now = this.#now();
    this.#freeAt = Math.max(this.#freeAt, now - BURST_MS) + bytes * this.#msPerByte;
    return Math.max(0, this.#freeAt - now);
  }
}

/** One body, or one direction of a tunnel, on its way. */
export interface Passage {
  /** What the sink reads from: its `end` is when all has been handed on. */
  readonly last: Readable;
  /** Lets go of both sides; what is still on the way is lost. */
  stop(): void;
  /** Takes no more, and calls back when what has come is handed on or lost. */
  settle(done: () => void): void;
}

/** Pipes `from` into `to`, which it does not end, no faster than the pace if there is one. */
export function pipeAt(pace: Pace | undefined, from: Readable, to: Writable): Passage {
  if (pace === undefined) {
    from.pipe(to, { end: false });
    return { last: from, stop: () => void from.unpipe(to), settle: (done) => done() };
  }
  const throttle = throttleAt(pace);
  from.pipe(throttle).pipe(to, { end: false });
  const stop = () => {
    from.unpipe(throttle);
    throttle.destroy();
  };
  to.once("close", stop);
  return {
    last: throttle,
    stop,
    settle(done) {
      if (throttle.closed) return done();
      throttle.once("close", done);
      throttle.end();
    },
  };
}

function throttleAt(pace: Pace): Transform {
  let turn: NodeJS.Timeout | undefined;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const delayMs = pace.take(chunk.length);
      if (delayMs === 0) done(null, chunk);
      else turn = setTimeout(() => done(null, chunk), delayMs);
    },
    destroy(error, done) {
      clearTimeout(turn);
      done(error);
    },
  });
}
