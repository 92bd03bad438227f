// The memory of an HPACK decoder: see hpack-decoder.ts.

import { ENTRY_OVERHEAD } from "./hpack-table.ts";

/** What is longer is no client's habit. */
const LONGEST = 4096;
/** Up to here comparing byte by byte takes less than the call of Buffer's own comparison. */
const SHORT = 64;

/**
 * The end of a header block and the fields that it gave. Other bytes may give the same fields, these give no others as long
 * as the table has the same generation.
 */
export class RememberedTail {
  /** A copy, as a block is often part of a much larger buffer; grows with what is to be remembered. */
  #bytes = Buffer.alloc(0);
  /** Of what is remembered; 0 if nothing is. */
  #length = 0;
  #generation = 0;
  #fields: readonly string[] = [];
  #listBytes = 0;

  get fields(): readonly string[] {
    return this.#fields;
  }

  /** What the fields count for in a list of fields. */
  get listBytes(): number {
    return this.#listBytes;
  }

  /** Whether it is what the block has from `start` on. */
  isAt(block: Buffer, start: number, generation: number): boolean {
    const length = this.#length;
    if (block.length - start !== length || length === 0) return false;
    if (generation !== this.#generation) return false;
    if (length > SHORT) return block.compare(this.#bytes, 0, length, start) === 0;
    for (let index = 0; index < length; index += 1)
      if (block[start + index] !== this.#bytes[index]) return false;
    return true;
  }

  /** Remembers this end of a block in place of the last one, unless it is too long. */
  remember(block: Buffer, start: number, generation: number, fields: readonly string[]): void {
    const length = block.length - start;
    if (length > LONGEST) return;
    if (length > this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(length);
    block.copy(this.#bytes, 0, start);
    this.#length = length;
    this.#generation = generation;
    this.#fields = fields;
    this.#listBytes = (fields.length / 2) * ENTRY_OVERHEAD;
    for (const text of fields) this.#listBytes += text.length;
  }
}
