// What was typed and the guest has not confirmed yet: kept, so that it can be sent again after a suspend. Bounded; whoever
// types more waits.

/** What may wait for a guest, also while it is suspended. */
export const INPUT_LIMIT = 64 * 1024;
/** Longest piece, so that one always fits a frame. */
const PIECE = 16 * 1024;

export class ShellInput {
  #pieces: Buffer[] = [];
  /** Offset of the first byte kept. */
  #start = 0;
  #bytes = 0;
  #room: (() => void)[] = [];

  /** Keeps the bytes once there is room, telling `taken` of each piece; gives up when the signal aborts. */
  async add(bytes: Buffer, taken: (piece: Buffer) => void, signal: AbortSignal): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      while (this.#bytes === INPUT_LIMIT && !signal.aborted) await this.#untilRoom(signal);
      if (signal.aborted) return;
      const piece = rest.subarray(0, Math.min(PIECE, INPUT_LIMIT - this.#bytes));
      rest = rest.subarray(piece.length);
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      taken(piece);
    }
  }

  /** Forgets what comes before the offset; the guest has it. */
  confirm(offset: number): void {
    while (this.#start < offset) {
      const [first] = this.#pieces;
      if (first === undefined) break;
      const known = Math.min(first.length, offset - this.#start);
      if (known === first.length) this.#pieces.shift();
      else this.#pieces[0] = first.subarray(known);
      this.#start += known;
      this.#bytes -= known;
    }
    for (const wake of this.#room.splice(0)) wake();
  }

  /** All that is not confirmed, in order. */
  unconfirmed(): readonly Buffer[] {
    return this.#pieces;
  }

  #untilRoom(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#room.push(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}
