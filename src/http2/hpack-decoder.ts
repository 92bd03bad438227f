// Decoding of header blocks (RFC 7541) with a memory for what comes again. A client sends nearly the same header with each
// request: the pseudo-header fields, which come first, differ, and what follows is, once its fields are in the dynamic
// table, the same few bytes. These give the same fields as long as the table is the same, and whoever reads the fields can
// tell by the array that they are the ones of the last time.

import { HpackError, HpackReader } from "./hpack-reader.ts";
import { HpackTable } from "./hpack-table.ts";
import { RememberedTail } from "./hpack-tail.ts";

export { HpackError };

/** Names and values alternate; latin1, a character for a byte. The arrays do not change after they were returned. */
export interface HeaderList {
  /** The fields before the first one whose name does not begin with a colon. */
  readonly pseudo: readonly string[];
  /** All that follow, whatever their names; the very array of the last block if they came as in it. */
  readonly fields: readonly string[];
  /** Whether the list is above a limit; what goes beyond it is left out. */
  readonly isTooLarge: boolean;
}

export interface HpackLimits {
  /** The SETTINGS_HEADER_TABLE_SIZE that the client is told. */
  readonly tableBytes: number;
  /** Of a list, counted as SETTINGS_MAX_HEADER_LIST_SIZE is (RFC 9113, 6.5.2). */
  readonly listBytes: number;
  readonly listFields: number;
}

/** Of each client, until it has read our settings (RFC 9113, 6.5.2); thereafter of the one that asks for no other size. */
const INITIAL_TABLE_BYTES = 4096;
const COLON = 0x3a;
const NO_FIELDS: readonly string[] = [];

/** Decodes the header blocks of one connection, which must come in their order. */
export class HpackDecoder {
  readonly #limits: HpackLimits;
  readonly #table: HpackTable;
  readonly #tail = new RememberedTail();

  constructor(limits: HpackLimits) {
    this.#limits = limits;
    this.#table = new HpackTable(INITIAL_TABLE_BYTES, limits.tableBytes);
  }

  /** Decodes a whole block, all its fragments joined. Throws HpackError; nothing can be decoded after that. */
  decode(block: Buffer): HeaderList {
    const [table, list] = [this.#table, new Collection(this.#limits)];
    const reader = new HpackReader(table, block);
    reader.readSizeUpdates(this.#limits.tableBytes);
    let isLeading = true;
    // Where the pseudo-header fields end, as far as has been read, and the table as it is there.
    let start = reader.at;
    let generation = table.generation;
    while (!reader.isAtEnd) {
      // What is remembered begins with a regular field: where it is found, the pseudo-header fields are over.
      if (isLeading && this.#tail.isAt(block, start, generation)) return list.endWith(this.#tail);
      reader.readField();
      isLeading &&= reader.name.charCodeAt(0) === COLON;
      list.add(reader, isLeading);
      if (isLeading) {
        start = reader.at;
        generation = table.generation;
      }
    }
    // What changed the table comes in another form the next time, and would change it again.
    if (!isLeading && generation === table.generation && !list.isTooLarge)
      this.#tail.remember(block, start, generation, list.fields);
    return list.end();
  }
}

/** A list as it grows. However often a field is repeated, no more than the limits allow is kept. */
class Collection {
  readonly #limits: HpackLimits;
  readonly #pseudo: string[] = [];
  readonly fields: string[] = [];
  #count = 0;
  #bytes = 0;

  constructor(limits: HpackLimits) {
    this.#limits = limits;
  }

  get isTooLarge(): boolean {
    return this.#bytes > this.#limits.listBytes || this.#count > this.#limits.listFields;
  }

  /** Adds the field that was read last. */
  add(reader: HpackReader, isLeading: boolean): void {
    this.#count += 1;
    this.#bytes += reader.size;
    if (this.isTooLarge) return;
    (isLeading ? this.#pseudo : this.fields).push(reader.name, reader.value);
  }

  end(): HeaderList {
    const { fields, isTooLarge } = this;
    return { pseudo: this.#pseudo, fields, isTooLarge };
  }

  endWith(tail: RememberedTail): HeaderList {
    this.#count += tail.fields.length / 2;
    this.#bytes += tail.listBytes;
    const { isTooLarge } = this;
    return { pseudo: this.#pseudo, fields: isTooLarge ? NO_FIELDS : tail.fields, isTooLarge };
  }
}
