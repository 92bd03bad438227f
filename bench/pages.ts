// Keeps the memory that a VMM does not share with its image, by hand: no checksum, no sync. Buffers are made once, so that
// no collection of garbage falls into what is measured.

import { closeSync, openSync, readFileSync, readSync, statSync, writeSync } from "node:fs";
import {
  collectDirtyRuns,
  type PageRun,
  parseRamMappings,
  type RamMapping,
} from "../src/vmm/memory-diff.ts";

export interface Pages {
  /** Replaces what is kept by the pages of a paused process that no longer are the image's. */
  save(pid: number): void;
  /** Writes what is kept into a process that does not run yet. */
  load(pid: number): void;
  readonly bytes: number;
}

const PAGE_BYTES = 4096;
const PAGEMAP_ENTRY_BYTES = 8;
const COPY_BYTES = 1024 * 1024;

/** Pages of processes that map `memoryPath` privately, kept in `file`. */
export function createPages(memoryPath: string, file: string): Pages {
  const { ino, size } = statSync(memoryPath);
  const entries = Buffer.alloc((size / PAGE_BYTES) * PAGEMAP_ENTRY_BYTES);
  const buffer = Buffer.alloc(COPY_BYTES);
  let runs: PageRun[] = [];

  /** Where the guest's RAM is in the process's address space. */
  function ramOf(pid: number): RamMapping {
    const [ram, more] = parseRamMappings(readFileSync(`/proc/${pid}/maps`, "utf8"), ino);
    if (ram === undefined || more !== undefined) throw new Error("QEMU maps the RAM otherwise");
    return ram;
  }

  /** Calls `copy` for pieces of every run that fit into the buffer. */
  function forEachPiece(copy: (bytes: number, ramOffset: number, fileOffset: number) => void) {
    let fileOffset = 0;
    for (const { firstPage, pages } of runs) {
      for (let done = 0; done < pages * PAGE_BYTES; done += COPY_BYTES) {
        const bytes = Math.min(pages * PAGE_BYTES - done, COPY_BYTES);
        copy(bytes, firstPage * PAGE_BYTES + done, fileOffset);
        fileOffset += bytes;
      }
    }
  }

  return {
    save(pid) {
      const ram = ramOf(pid);
      withFile(`/proc/${pid}/pagemap`, "r", (pagemap) => {
        const at = (ram.address / PAGE_BYTES) * PAGEMAP_ENTRY_BYTES;
        readSync(pagemap, entries, 0, entries.length, at);
      });
      runs = [];
      collectDirtyRuns(
        new Uint32Array(entries.buffer, entries.byteOffset, entries.length / 4),
        0,
        runs,
      );
      withFile(`/proc/${pid}/mem`, "r", (from) =>
        withFile(file, "w", (to) =>
          forEachPiece((bytes, ramOffset, fileOffset) => {
            readSync(from, buffer, 0, bytes, ram.address + ramOffset);
            writeSync(to, buffer, 0, bytes, fileOffset);
          }),
        ),
      );
    },
    load(pid) {
      const ram = ramOf(pid);
      withFile(file, "r", (from) =>
        withFile(`/proc/${pid}/mem`, "r+", (to) =>
          forEachPiece((bytes, ramOffset, fileOffset) => {
            readSync(from, buffer, 0, bytes, fileOffset);
            writeSync(to, buffer, 0, bytes, ram.address + ramOffset);
          }),
        ),
      );
    },
    get bytes() {
      return runs.reduce((sum, { pages }) => sum + pages * PAGE_BYTES, 0);
    },
  };
}

function withFile(file: string, flags: string, work: (fd: number) => void): void {
  const fd = openSync(file, flags, 0o600);
  try {
    work(fd);
  } finally {
    closeSync(fd);
  }
}
