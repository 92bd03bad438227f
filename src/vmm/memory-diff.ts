// The memory of a suspended microVM: the pages of its RAM that differ from the image's RAM file, in one file.
//
//   header (32 bytes, little endian)   magic "TORPMEM1" · u32 page size · u32 run count · u64 page count ·
//                                      u32 crc32 of the table · u32 crc32 of the data
//   table                              per run: u32 first page · u32 pages
//   data                               the pages of all runs, in table order
//
// A VMM maps the image's RAM file privately, so the kernel already knows which pages the guest dirtied: those that are
// present in the mapping but no longer backed by the file, and those that were swapped out. Reading that costs a
// scan of the pagemap; the guest needs no dirty log and runs at full speed. Everything here is synchronous and is
// called on a worker thread (memory-worker.ts): it must never run on the event loop.

import {
  closeSync,
  fdatasyncSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from "node:fs";
import { crc32 } from "node:zlib";
import { ServiceError } from "../errors.ts";

const MAGIC = "TORPMEM1";
const HEADER_BYTES = 32;
const RUN_BYTES = 8;
const PAGE_BYTES = 4096;
const PAGEMAP_ENTRY_BYTES = 8;
/** Pagemap is read in pieces of this many pages (1 MiB of entries). */
const SCAN_PAGES = 131_072;
const COPY_BYTES = 1024 * 1024;

// Bits 63, 62 and 61 of a pagemap entry, in its high half (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT = 0x8000_0000;
const SWAPPED = 0x4000_0000;
const FILE_OR_SHARED = 0x2000_0000;

/** One piece of a process's address space that maps a part of the RAM file. */
export interface RamMapping {
  /** First byte of the mapping in the process's address space. */
  readonly address: number;
  readonly bytes: number;
  /** Where in the RAM file it begins. */
  readonly fileOffset: number;
}

/** Consecutive dirty pages, counted from the start of the RAM file. */
export interface PageRun {
  readonly firstPage: number;
  readonly pages: number;
}

/** The mappings of the file with this device and inode in a `/proc/PID/maps` text. */
export function parseRamMappings(mapsText: string, inode: number): RamMapping[] {
  const mappings: RamMapping[] = [];
  for (const line of mapsText.split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) [0-9a-f]+:[0-9a-f]+ (\d+)\s/.exec(line);
    if (match === null || Number(match[4]) !== inode) continue;
    const address = Number.parseInt(match[1] ?? "", 16);
    mappings.push({
      address,
      bytes: Number.parseInt(match[2] ?? "", 16) - address,
      fileOffset: Number.parseInt(match[3] ?? "", 16),
    });
  }
  return mappings.sort((a, b) => a.fileOffset - b.fileOffset);
}

/**
 * Appends to `runs` the dirty pages in `entries`, the raw pagemap entries of consecutive pages that begin at
 * `firstPage`. A run that touches the last one in `runs` extends it.
 */
export function collectDirtyRuns(entries: Uint32Array, firstPage: number, runs: PageRun[]): void {
  let start = -1;
  const pages = entries.length / 2;
  for (let page = 0; page <= pages; page++) {
    const high = page < pages ? (entries[page * 2 + 1] ?? 0) : 0;
    const isDirty =
      (high & SWAPPED) !== 0 || ((high & PRESENT) !== 0 && (high & FILE_OR_SHARED) === 0);
    if (isDirty && start < 0) start = page;
    if (!isDirty && start >= 0) {
      appendRun(runs, { firstPage: firstPage + start, pages: page - start });
      start = -1;
    }
  }
}

function appendRun(runs: PageRun[], run: PageRun): void {
  const last = runs.at(-1);
  if (last !== undefined && last.firstPage + last.pages === run.firstPage) {
    runs[runs.length - 1] = { firstPage: last.firstPage, pages: last.pages + run.pages };
  } else {
    runs.push(run);
  }
}

/**
 * Writes the dirty pages of the paused process `pid`, which maps the file `memoryPath` privately, to `diffPath`, synced.
 * Returns the bytes of guest memory and of file.
 */
export function writeMemoryDiff(
  pid: number,
  memoryPath: string,
  diffPath: string,
): { dirtyBytes: number; bytesWritten: number } {
  const mappings = ramMappings(pid, memoryPath);
  const runs = scanDirtyRuns(pid, mappings);
  const pageCount = runs.reduce((sum, run) => sum + run.pages, 0);
  const table = encodeTable(runs);
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const diff = openSync(diffPath, "wx", 0o600);
  try {
    writeFully(diff, table, HEADER_BYTES);
    let position = HEADER_BYTES + table.length;
    let dataCrc = 0;
    const buffer = Buffer.allocUnsafe(COPY_BYTES);
    for (const piece of pieces(runs, mappings)) {
      const chunk = buffer.subarray(0, piece.bytes);
      readFully(memory, chunk, piece.address);
      dataCrc = crc32(chunk, dataCrc);
      writeFully(diff, chunk, position);
      position += piece.bytes;
    }
    writeFully(diff, encodeHeader(runs.length, pageCount, crc32(table), dataCrc), 0);
    fdatasyncSync(diff);
    return { dirtyBytes: pageCount * PAGE_BYTES, bytesWritten: position };
  } finally {
    closeSync(diff);
    closeSync(memory);
  }
}

/**
 * Writes the pages in `diffPath` into the memory of process `pid`, which has just mapped `memoryPath` and does not run
 * yet. Rejects VMM_FAILED when the file is damaged or does not fit, before the first page is written for a bad table.
 */
export function applyMemoryDiff(pid: number, memoryPath: string, diffPath: string): void {
  const mappings = ramMappings(pid, memoryPath);
  const diff = openSync(diffPath, "r");
  const memory = openSync(`/proc/${pid}/mem`, "r+");
  try {
    const { runs, dataStart, dataCrc } = readTable(diff, diffPath);
    let position = dataStart;
    let crc = 0;
    const buffer = Buffer.allocUnsafe(COPY_BYTES);
    for (const piece of pieces(runs, mappings)) {
      const chunk = buffer.subarray(0, piece.bytes);
      readFully(diff, chunk, position);
      crc = crc32(chunk, crc);
      writeFully(memory, chunk, piece.address);
      position += piece.bytes;
    }
    if (crc !== dataCrc) throw damaged(diffPath, "checksum of the pages does not match");
  } finally {
    closeSync(memory);
    closeSync(diff);
  }
}

function ramMappings(pid: number, memoryPath: string): RamMapping[] {
  const mapsText = readFileSync(`/proc/${pid}/maps`, "utf8");
  const mappings = parseRamMappings(mapsText, statSync(memoryPath).ino);
  if (mappings.length === 0) {
    throw new ServiceError(
      "VMM_FAILED",
      `Cannot find guest memory: process ${pid} does not map "${memoryPath}"`,
    );
  }
  return mappings;
}

function scanDirtyRuns(pid: number, mappings: readonly RamMapping[]): PageRun[] {
  const runs: PageRun[] = [];
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    const buffer = Buffer.alloc(SCAN_PAGES * PAGEMAP_ENTRY_BYTES);
    for (const mapping of mappings) {
      const pages = mapping.bytes / PAGE_BYTES;
      for (let done = 0; done < pages; done += SCAN_PAGES) {
        const count = Math.min(SCAN_PAGES, pages - done);
        const chunk = buffer.subarray(0, count * PAGEMAP_ENTRY_BYTES);
        readFully(pagemap, chunk, (mapping.address / PAGE_BYTES + done) * PAGEMAP_ENTRY_BYTES);
        const entries = new Uint32Array(chunk.buffer, chunk.byteOffset, count * 2);
        collectDirtyRuns(entries, mapping.fileOffset / PAGE_BYTES + done, runs);
      }
    }
  } finally {
    closeSync(pagemap);
  }
  return runs;
}

/** Cuts runs into pieces of at most COPY_BYTES, each within one mapping, with the address it has there. */
function* pieces(
  runs: readonly PageRun[],
  mappings: readonly RamMapping[],
): Generator<{ address: number; bytes: number }> {
  for (const run of runs) {
    let offset = run.firstPage * PAGE_BYTES;
    const end = offset + run.pages * PAGE_BYTES;
    while (offset < end) {
      const mapping = mappings.find(
        (m) => offset >= m.fileOffset && offset < m.fileOffset + m.bytes,
      );
      if (mapping === undefined) {
        throw new ServiceError(
          "VMM_FAILED",
          `Cannot place a saved page: offset ${offset} is outside the guest's memory`,
        );
      }
      const inMapping = offset - mapping.fileOffset;
      const bytes = Math.min(end - offset, mapping.bytes - inMapping, COPY_BYTES);
      yield { address: mapping.address + inMapping, bytes };
      offset += bytes;
    }
  }
}

function encodeTable(runs: readonly PageRun[]): Buffer {
  const table = Buffer.alloc(runs.length * RUN_BYTES);
  runs.forEach((run, index) => {
    table.writeUInt32LE(run.firstPage, index * RUN_BYTES);
    table.writeUInt32LE(run.pages, index * RUN_BYTES + 4);
  });
  return table;
}

function encodeHeader(runs: number, pages: number, tableCrc: number, dataCrc: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, 0, "latin1");
  header.writeUInt32LE(PAGE_BYTES, 8);
  header.writeUInt32LE(runs, 12);
  header.writeBigUInt64LE(BigInt(pages), 16);
  header.writeUInt32LE(tableCrc, 24);
  header.writeUInt32LE(dataCrc, 28);
  return header;
}

function readTable(
  diff: number,
  diffPath: string,
): { runs: PageRun[]; dataStart: number; dataCrc: number } {
  const header = Buffer.alloc(HEADER_BYTES);
  const size = readUpTo(diff, header, 0);
  if (size < HEADER_BYTES || header.toString("latin1", 0, 8) !== MAGIC) {
    throw damaged(diffPath, "it does not begin like one");
  }
  if (header.readUInt32LE(8) !== PAGE_BYTES) throw damaged(diffPath, "page size differs");
  const table = Buffer.alloc(header.readUInt32LE(12) * RUN_BYTES);
  if (readUpTo(diff, table, HEADER_BYTES) < table.length) throw damaged(diffPath, "it is cut off");
  if (crc32(table) !== header.readUInt32LE(24)) {
    throw damaged(diffPath, "checksum of the table does not match");
  }
  const runs: PageRun[] = [];
  for (let at = 0; at < table.length; at += RUN_BYTES) {
    runs.push({ firstPage: table.readUInt32LE(at), pages: table.readUInt32LE(at + 4) });
  }
  return { runs, dataStart: HEADER_BYTES + table.length, dataCrc: header.readUInt32LE(28) };
}

function damaged(diffPath: string, why: string): ServiceError {
  return new ServiceError("VMM_FAILED", `Cannot use saved memory "${diffPath}": ${why}`);
}

function readUpTo(fd: number, target: Buffer, position: number): number {
  let done = 0;
  while (done < target.length) {
    const read = readSync(fd, target, done, target.length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

function readFully(fd: number, target: Buffer, position: number): void {
  if (readUpTo(fd, target, position) < target.length) {
    throw new ServiceError("VMM_FAILED", `Cannot read guest memory: it ended at ${position}`);
  }
}

function writeFully(fd: number, source: Buffer, position: number): void {
  let done = 0;
  while (done < source.length) {
    done += writeSync(fd, source, done, source.length - done, position + done);
  }
}
