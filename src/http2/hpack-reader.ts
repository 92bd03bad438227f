// The representations of HPACK (RFC 7541, 5 and 6): what is in a header block, one after the other.

import { ENTRY_OVERHEAD, type HpackTable } from "./hpack-table.ts";
import { decodeHuffman } from "./huffman.ts";

/** A header block that cannot be read: COMPRESSION_ERROR, the connection has lost its state and ends. */
export class HpackError extends Error {
  override readonly name = "HpackError";
  constructor(reason: string) {
    super(`Cannot read header block: ${reason}`);
  }
}

/** With a prefix of at most seven bits that stays a small integer, and is far more than any block has. */
const MAX_CONTINUATION_BYTES = 4;
const HUFFMAN = 0x80;

/** Reads one block, whole, field by field. After an HpackError nothing more can be read with the same table. */
export class HpackReader {
  readonly #table: HpackTable;
  readonly #block: Buffer;
  /** Where the next representation begins. */
  at = 0;
  /** The field that was read last. */
  name = "";
  value = "";

  constructor(table: HpackTable, block: Buffer) {
    this.#table = table;
    this.#block = block;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#block.length;
  }

  /** What the field that was read last counts for in a list of fields. */
  get size(): number {
    return this.name.length + this.value.length + ENTRY_OVERHEAD;
  }

  /** Resizes the table as the beginning of the block says, to `largestRoom` at most. */
  readSizeUpdates(largestRoom: number): void {
    while (!this.isAtEnd && (this.#peek() & 0xe0) === 0x20) {
      const room = this.#readInteger(0x1f);
      if (room > largestRoom) throw new HpackError("size update above the limit");
      this.#table.resize(room);
    }
  }

  /** Reads the next field, which must not be at the end, into `name` and `value`. */
  readField(): void {
    const first = this.#peek();
    if ((first & 0x80) !== 0) {
      const index = this.#readIndex(0x7f);
      this.name = this.#table.nameAt(index);
      this.value = this.#table.valueAt(index);
    } else if ((first & 0x40) !== 0) {
      this.#readLiteral(0x3f);
      this.#table.insert(this.name, this.value);
    } else if ((first & 0x20) !== 0) {
      throw new HpackError("size update after a field");
    } else {
      // Without indexing, or never: the same to who passes nothing on in HPACK.
      this.#readLiteral(0x0f);
    }
  }

  #readLiteral(prefix: number): void {
    const hasIndex = (this.#peek() & prefix) !== 0;
    if (hasIndex) this.name = this.#table.nameAt(this.#readIndex(prefix));
    else {
      this.at += 1;
      this.name = this.#readString();
    }
    this.value = this.#readString();
  }

  #readIndex(prefix: number): number {
    const index = this.#readInteger(prefix);
    if (index === 0 || index > this.#table.lastIndex) throw new HpackError("no such index");
    return index;
  }

  /** 5.2. */
  #readString(): string {
    const isHuffman = !this.isAtEnd && (this.#peek() & HUFFMAN) !== 0;
    const length = this.#readInteger(0x7f);
    const start = this.at;
    const end = start + length;
    if (end > this.#block.length) throw new HpackError("truncated string");
    this.at = end;
    if (!isHuffman) return this.#block.toString("latin1", start, end);
    const text = decodeHuffman(this.#block, start, end);
    if (text === undefined) throw new HpackError("bad Huffman code");
    return text;
  }

  /** 5.1: the bits of `prefix`, all ones, in the first byte, then seven more bits with each byte. */
  #readInteger(prefix: number): number {
    let value = this.#take() & prefix;
    if (value < prefix) return value;
    for (let count = 0; count < MAX_CONTINUATION_BYTES; count += 1) {
      const byte = this.#take();
      value += (byte & 0x7f) << (7 * count);
      if ((byte & 0x80) === 0) return value;
    }
    throw new HpackError("integer is too long");
  }

  #peek(): number {
    return this.#block[this.at] ?? 0;
  }

  #take(): number {
    if (this.isAtEnd) throw new HpackError("truncated integer");
    const byte = this.#peek();
    this.at += 1;
    return byte;
  }
}
