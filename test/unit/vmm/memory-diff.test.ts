import assert from "node:assert/strict";
import { test } from "node:test";
import { collectDirtyRuns, parseRamMappings, type PageRun } from "../../../src/vmm/memory-diff.ts";

const PRESENT = 0x8000_0000;
const SWAPPED = 0x4000_0000;
const FILE = 0x2000_0000;

function entries(...highHalves: number[]): Uint32Array {
  return Uint32Array.from(highHalves.flatMap((high) => [7, high]));
}

test("collectDirtyRuns takes present pages without a file and swapped ones, and no others", () => {
  const runs: PageRun[] = [];
  collectDirtyRuns(
    entries(PRESENT + FILE, PRESENT, PRESENT, 0, SWAPPED, FILE, PRESENT + FILE, PRESENT),
    100,
    runs,
  );
  assert.deepEqual(runs, [
    { firstPage: 101, pages: 2 },
    { firstPage: 104, pages: 1 },
    { firstPage: 107, pages: 1 },
  ]);
});

test("collectDirtyRuns joins a run that goes on in the next piece", () => {
  const runs: PageRun[] = [];
  collectDirtyRuns(entries(0, PRESENT), 0, runs);
  collectDirtyRuns(entries(PRESENT, 0), 2, runs);
  assert.deepEqual(runs, [{ firstPage: 1, pages: 2 }]);
});

test("parseRamMappings finds every mapping of the file by inode, in file order", () => {
  const maps = [
    "55d0c0000000-55d0c0100000 r--p 00000000 fe:00 11    /usr/bin/qemu-system-x86_64",
    "7f0080000000-7f0090000000 rw-p 70000000 fe:00 4242  /data/images/a/memory",
    "7f0000000000-7f0070000000 rw-p 00000000 fe:00 4242  /data/images/a/memory (deleted)",
    "7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0     [stack]",
    "",
  ].join("\n");
  assert.deepEqual(parseRamMappings(maps, 4242), [
    { address: 0x7f0000000000, bytes: 0x70000000, fileOffset: 0 },
    { address: 0x7f0080000000, bytes: 0x10000000, fileOffset: 0x70000000 },
  ]);
});
