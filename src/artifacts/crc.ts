// Reflected CRCs that Node has no native code for, table-driven eight bytes at a time, and the joining of CRCs of
// neighbouring pieces. All have all-ones as start and final XOR.

import { crc32 as nativeCrc32 } from "node:zlib";

export type CrcAlgorithm = "CRC32" | "CRC32C" | "CRC64NVME";

interface CrcParameters {
  readonly bits: 32 | 64;
  /** Reflected polynomial. */
  readonly polynomial: bigint;
}

export const CRC_PARAMETERS: Readonly<Record<CrcAlgorithm, CrcParameters>> = {
  CRC32: { bits: 32, polynomial: 0xedb88320n },
  CRC32C: { bits: 32, polynomial: 0x82f63b78n },
  CRC64NVME: { bits: 64, polynomial: 0x9a6c9329ac4bc9b5n },
};

/** A digest that is fed piece by piece. */
export interface RunningDigest {
  update(chunk: Uint8Array): void;
  /** Big-endian, as S3 writes it. */
  digest(): Buffer;
}

/** A CRC that is fed piece by piece. */
export function createCrc(algorithm: CrcAlgorithm): RunningDigest {
  switch (algorithm) {
    case "CRC32":
      return runningCrc32();
    case "CRC32C":
      return runningCrc32c();
    case "CRC64NVME":
      return runningCrc64();
  }
}

function runningCrc32(): RunningDigest {
  let crc = 0;
  return {
    update: (chunk) => (crc = nativeCrc32(chunk, crc)),
    digest: () => bigEndian(crc, 4),
  };
}

function runningCrc32c(): RunningDigest {
  const { low: table } = makeTables(CRC_PARAMETERS.CRC32C);
  let crc = 0xffffffff;
  return {
    update(chunk) {
      crc = updateCrc32(table, crc, chunk);
    },
    digest: () => bigEndian(~crc >>> 0, 4),
  };
}

function updateCrc32(table: Uint32Array, start: number, chunk: Uint8Array): number {
  const at = (slice: number, index: number) => table[(slice << 8) | index] ?? 0;
  let crc = start;
  let offset = 0;
  const { length } = chunk;
  for (; offset + 8 <= length; offset += 8) {
    const low = crc ^ littleEndian(chunk, offset);
    const high = littleEndian(chunk, offset + 4);
    crc =
      at(7, low & 255) ^
      at(6, (low >>> 8) & 255) ^
      at(5, (low >>> 16) & 255) ^
      at(4, low >>> 24) ^
      at(3, high & 255) ^
      at(2, (high >>> 8) & 255) ^
      at(1, (high >>> 16) & 255) ^
      at(0, high >>> 24);
  }
  for (; offset < length; offset++) {
    crc = at(0, (crc ^ (chunk[offset] ?? 0)) & 255) ^ (crc >>> 8);
  }
  return crc;
}

function runningCrc64(): RunningDigest {
  const tables = makeTables(CRC_PARAMETERS.CRC64NVME);
  const state = { low: 0xffffffff, high: 0xffffffff };
  return {
    update: (chunk) => updateCrc64(tables, state, chunk),
    digest() {
      const digest = Buffer.alloc(8);
      digest.writeUInt32BE(~state.high >>> 0, 0);
      digest.writeUInt32BE(~state.low >>> 0, 4);
      return digest;
    },
  };
}

function updateCrc64(tables: Tables, state: { low: number; high: number }, chunk: Uint8Array) {
  let { low, high } = state;
  let offset = 0;
  const { length } = chunk;
  for (; offset + 8 <= length; offset += 8) {
    const a = low ^ littleEndian(chunk, offset);
    const b = high ^ littleEndian(chunk, offset + 4);
    low = sliced(tables.low, a, b);
    high = sliced(tables.high, a, b);
  }
  for (; offset < length; offset++) {
    const index = (low ^ (chunk[offset] ?? 0)) & 255;
    low = (tables.low[index] ?? 0) ^ ((low >>> 8) | (high << 24));
    high = (tables.high[index] ?? 0) ^ (high >>> 8);
  }
  state.low = low;
  state.high = high;
}

function sliced(table: Uint32Array, a: number, b: number): number {
  return (
    (table[1792 | (a & 255)] ?? 0) ^
    (table[1536 | ((a >>> 8) & 255)] ?? 0) ^
    (table[1280 | ((a >>> 16) & 255)] ?? 0) ^
    (table[1024 | (a >>> 24)] ?? 0) ^
    (table[768 | (b & 255)] ?? 0) ^
    (table[512 | ((b >>> 8) & 255)] ?? 0) ^
    (table[256 | ((b >>> 16) & 255)] ?? 0) ^
    (table[b >>> 24] ?? 0)
  );
}

interface Tables {
  /** Eight tables of 256 entries each, low halves. */
  readonly low: Uint32Array;
  readonly high: Uint32Array;
}

/** Table 0 advances by one byte; table n by n more zero bytes. */
function makeTables({ polynomial }: CrcParameters): Tables {
  const polynomialLow = Number(polynomial & 0xffffffffn);
  const polynomialHigh = Number(polynomial >> 32n);
  const low = new Uint32Array(8 * 256);
  const high = new Uint32Array(8 * 256);
  for (let index = 0; index < 256; index++) {
    let [lowHalf, highHalf] = [index, 0];
    for (let bit = 0; bit < 8; bit++) {
      const isOdd = (lowHalf & 1) === 1;
      lowHalf = ((lowHalf >>> 1) | (highHalf << 31)) ^ (isOdd ? polynomialLow : 0);
      highHalf = (highHalf >>> 1) ^ (isOdd ? polynomialHigh : 0);
    }
    low[index] = lowHalf;
    high[index] = highHalf;
  }
  for (let index = 256; index < 8 * 256; index++) {
    const [lowHalf, highHalf] = [low[index - 256] ?? 0, high[index - 256] ?? 0];
    const next = lowHalf & 255;
    low[index] = ((lowHalf >>> 8) | (highHalf << 24)) ^ (low[next] ?? 0);
    high[index] = (highHalf >>> 8) ^ (high[next] ?? 0);
  }
  return { low, high };
}

function littleEndian(chunk: Uint8Array, offset: number): number {
  return (
    (chunk[offset] ?? 0) |
    ((chunk[offset + 1] ?? 0) << 8) |
    ((chunk[offset + 2] ?? 0) << 16) |
    ((chunk[offset + 3] ?? 0) << 24)
  );
}

function bigEndian(value: number, bytes: number): Buffer {
  const digest = Buffer.alloc(bytes);
  digest.writeUIntBE(value, 0, bytes);
  return digest;
}

/** A CRC of one piece and the piece's length. */
export interface CrcPiece {
  /** Big-endian. */
  readonly digest: Uint8Array;
  readonly sizeBytes: number;
}

/** The CRC of all pieces one after the other, without their bytes. */
export function joinCrcs(algorithm: CrcAlgorithm, pieces: readonly CrcPiece[]): Buffer {
  const { bits, polynomial } = CRC_PARAMETERS[algorithm];
  // Pieces of one upload mostly have one size, and its factor is the costly part.
  const factors = new Map<number, bigint>();
  let joined = 0n;
  for (const { digest, sizeBytes } of pieces) {
    const factor = factors.get(sizeBytes) ?? powerOfX(8n * BigInt(sizeBytes), bits, polynomial);
    factors.set(sizeBytes, factor);
    const value = BigInt(`0x${Buffer.from(digest).toString("hex")}`);
    joined = multiply(factor, joined, bits, polynomial) ^ value;
  }
  return Buffer.from(joined.toString(16).padStart(bits / 4, "0"), "hex");
}

/** x to the power of `exponent`, modulo the polynomial, in reflected form. */
function powerOfX(exponent: bigint, bits: number, polynomial: bigint): bigint {
  let result = 1n << BigInt(bits - 1);
  let square = result >> 1n;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = multiply(square, result, bits, polynomial);
    square = multiply(square, square, bits, polynomial);
  }
  return result;
}

/** a times b modulo the polynomial, in reflected form. */
function multiply(a: bigint, b: bigint, bits: number, polynomial: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let mask = 1n << BigInt(bits - 1); mask > 0n; mask >>= 1n) {
    if ((a & mask) !== 0n) product ^= shifted;
    shifted = (shifted & 1n) === 1n ? (shifted >> 1n) ^ polynomial : shifted >> 1n;
  }
  return product;
}
