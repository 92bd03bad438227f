import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CpioEntry, writeCpio } from "../../../src/setup/cpio.ts";

const ENTRIES: CpioEntry[] = [
  { type: "directory", path: "dev", mode: 0o755 },
  { type: "device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
  { type: "file", path: "init", mode: 0o755, content: Buffer.from("12345") },
  { type: "file", path: "empty", mode: 0o644, content: Buffer.alloc(0) },
];

interface ReadEntry {
  readonly path: string;
  readonly mode: number;
  readonly device: readonly [number, number];
  readonly content: string;
}

/** Reads an archive as the kernel does: fixed header, name, padding to four, content, padding to four. */
function readCpio(archive: Buffer): ReadEntry[] {
  const entries: ReadEntry[] = [];
  for (let at = 0; ;) {
    assert.equal(archive.toString("latin1", at, at + 6), "070701", `magic at ${at}`);
    const field = (index: number) =>
      Number.parseInt(archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const nameSize = field(11);
    const path = archive.toString("latin1", at + 110, at + 110 + nameSize - 1);
    if (path === "TRAILER!!!") return entries;
    const start = (at + 110 + nameSize + 3) & ~3;
    const end = start + field(6);
    const content = archive.toString("latin1", start, end);
    entries.push({ path, mode: field(1), device: [field(9), field(10)], content });
    at = (end + 3) & ~3;
  }
}

describe("writeCpio", () => {
  it("writes entries that can be read back in their order", () => {
    assert.deepEqual(readCpio(writeCpio(ENTRIES)), [
      { path: "dev", mode: 0o040755, device: [0, 0], content: "" },
      { path: "dev/console", mode: 0o020600, device: [5, 1], content: "" },
      { path: "init", mode: 0o100755, device: [0, 0], content: "12345" },
      { path: "empty", mode: 0o100644, device: [0, 0], content: "" },
    ]);
  });

  it("writes the same bytes for the same entries", () => {
    assert.deepEqual(writeCpio(ENTRIES), writeCpio(ENTRIES));
  });

  it("fills up to four bytes at the end", () => {
    assert.equal(writeCpio(ENTRIES).length % 4, 0);
  });
});
