// Saved memory against a real process: a QEMU that maps a RAM file privately and never runs.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ServiceError } from "../../../src/errors.ts";
import {
  applyMemoryDiff,
  parseRamMappings,
  writeMemoryDiff,
} from "../../../src/vmm/memory-diff.ts";
import { createMemoryPool } from "../../../src/vmm/memory-pool.ts";

const PAGE = 4096;
const directory = mkdtempSync(path.join(tmpdir(), "torpor-memory-"));
const memoryPath = path.join(directory, "ram");
const children: ChildProcess[] = [];

before(() => {
  writeFileSync(memoryPath, "");
  truncateSync(memoryPath, 16 * 1024 * 1024);
});

after(async () => {
  for (const child of children) {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  rmSync(directory, { recursive: true });
});

/** A process that maps the RAM file privately, and the address it has it at. */
async function mapper(): Promise<{ pid: number; address: number }> {
  const object = `memory-backend-file,id=ram,size=16M,mem-path=${memoryPath},share=off`;
  const child = spawn(
    "qemu-system-x86_64",
    ["-S", "-display", "none", "-nodefaults", "-machine", "none", "-object", object],
    { stdio: "ignore" },
  );
  children.push(child);
  const pid = child.pid ?? 0;
  for (let attempt = 0; attempt < 500; attempt++) {
    const [mapping] = parseRamMappings(
      readFileSync(`/proc/${pid}/maps`, "utf8"),
      statSync(memoryPath).ino,
    );
    if (mapping !== undefined) return { pid, address: mapping.address };
    await delay(20);
  }
  throw new Error("QEMU never mapped the file");
}

function poke(pid: number, address: number, bytes: Buffer): void {
  const memory = openSync(`/proc/${pid}/mem`, "r+");
  writeSync(memory, bytes, 0, bytes.length, address);
  closeSync(memory);
}

function peek(pid: number, address: number, length: number): Buffer {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const bytes = Buffer.alloc(length);
  readSync(memory, bytes, 0, length, address);
  closeSync(memory);
  return bytes;
}

test("dirty pages, and only those, travel from one process to another", async () => {
  const first = await mapper();
  poke(first.pid, first.address + 5 * PAGE, Buffer.alloc(3 * PAGE, 0xaa));
  poke(first.pid, first.address + 100 * PAGE + 17, Buffer.from("here"));
  const diffPath = path.join(directory, "diff");
  const { dirtyBytes, bytesWritten } = writeMemoryDiff(first.pid, memoryPath, diffPath);
  assert.equal(dirtyBytes, 4 * PAGE);
  assert.equal(bytesWritten, statSync(diffPath).size);

  const second = await mapper();
  await using pool = createMemoryPool(1);
  await pool.apply(second.pid, memoryPath, diffPath);
  assert.deepEqual(
    peek(second.pid, second.address + 5 * PAGE, 3 * PAGE),
    Buffer.alloc(3 * PAGE, 0xaa),
  );
  assert.equal(peek(second.pid, second.address + 100 * PAGE + 17, 4).toString(), "here");
  const again = await pool.write(second.pid, memoryPath, path.join(directory, "again"));
  assert.equal(again.dirtyBytes, 4 * PAGE);
  assert.deepEqual(readFileSync(path.join(directory, "again")), readFileSync(diffPath));
});

test("a damaged file of saved memory is refused", async () => {
  const target = await mapper();
  poke(target.pid, target.address, Buffer.from([1]));
  const good = path.join(directory, "good");
  writeMemoryDiff(target.pid, memoryPath, good);
  const bytes = readFileSync(good);
  const damage: Record<string, (copy: Buffer) => Buffer> = {
    "another magic": (copy) => (copy.write("NOTMINE!", 0), copy),
    "a flipped bit in the table": (copy) => (copy.writeUInt8(copy.readUInt8(33) ^ 1, 33), copy),
    "a flipped bit in a page": (copy) => (copy.writeUInt8(copy.readUInt8(500) ^ 1, 500), copy),
    "a cut table": (copy) => copy.subarray(0, 36),
    "missing pages": (copy) => copy.subarray(0, 1000),
    "an empty file": () => Buffer.alloc(0),
  };
  for (const [name, change] of Object.entries(damage)) {
    const bad = path.join(directory, "bad");
    writeFileSync(bad, change(Buffer.from(bytes)));
    assert.throws(
      () => applyMemoryDiff(target.pid, memoryPath, bad),
      (error) => error instanceof ServiceError && error.code === "VMM_FAILED",
      name,
    );
  }
});

test("the pool reports a failure of one request and serves the next", async () => {
  const target = await mapper();
  await using pool = createMemoryPool(1);
  await assert.rejects(
    pool.apply(target.pid, memoryPath, path.join(directory, "absent")),
    /ENOENT/,
  );
  const result = await pool.write(target.pid, memoryPath, path.join(directory, "next"));
  assert.equal(result.dirtyBytes, 0);
});
