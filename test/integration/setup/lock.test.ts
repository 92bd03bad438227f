import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { describe, it } from "node:test";
import { acquireLock } from "../../../src/setup/lock.ts";
import { temporaryDirectory } from "./temporary.ts";

const LOCK_MODULE = path.resolve(import.meta.dirname, "../../../src/setup/lock.ts");

/** A process that takes the lock, says so, and holds it until it is killed. */
const HOLDER = `
  const { acquireLock } = await import(process.argv[1]);
  await acquireLock(process.argv[2], () => undefined, new AbortController().signal);
  console.log("held");
  setInterval(() => undefined, 1000);
`;

async function startHolder(file: string) {
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", HOLDER];
  const child = spawn(process.execPath, [...args, LOCK_MODULE, file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  await Promise.race([once(child.stdout, "data"), exited]);
  return { child, exited };
}

describe("acquireLock", () => {
  it("waits for the holder, whom it names, and goes on when that is done", async () => {
    await using directory = await temporaryDirectory();
    const file = path.join(directory.path, "setup.lock");
    const signal = new AbortController().signal;
    const held = await acquireLock(file, () => assert.fail("nobody holds it"), signal);
    const holders: string[] = [];
    const waiting = acquireLock(
      file,
      (holder) => {
        holders.push(holder);
        held[Symbol.dispose]();
      },
      signal,
    );
    (await waiting)[Symbol.dispose]();
    assert.deepEqual(holders, [`process ${process.pid}`]);
  });

  it("is free after the process that held it was killed", async () => {
    await using directory = await temporaryDirectory();
    const file = path.join(directory.path, "setup.lock");
    const { child, exited } = await startHolder(file);
    const holders: string[] = [];
    const lock = await acquireLock(
      file,
      (holder) => {
        holders.push(holder);
        child.kill("SIGKILL");
      },
      AbortSignal.timeout(30_000),
    );
    lock[Symbol.dispose]();
    await exited;
    assert.deepEqual(holders, [`process ${child.pid}`]);
  });

  it("stops waiting when it is told to", async () => {
    await using directory = await temporaryDirectory();
    const file = path.join(directory.path, "setup.lock");
    const held = await acquireLock(file, () => undefined, new AbortController().signal);
    const interruption = new AbortController();
    const reason = new Error("interrupted");
    const waiting = acquireLock(file, () => interruption.abort(reason), interruption.signal);
    await assert.rejects(waiting, (error) => interruption.signal.aborted && error instanceof Error);
    held[Symbol.dispose]();
  });

  it("may be given back twice", async () => {
    await using directory = await temporaryDirectory();
    const file = path.join(directory.path, "setup.lock");
    const signal = new AbortController().signal;
    const lock = await acquireLock(file, () => undefined, signal);
    lock[Symbol.dispose]();
    lock[Symbol.dispose]();
    (await acquireLock(file, () => assert.fail("nobody holds it"), signal))[Symbol.dispose]();
  });

  it("says which file it cannot make", async () => {
    await using directory = await temporaryDirectory();
    const file = path.join(directory.path, "missing/setup.lock");
    await assert.rejects(
      acquireLock(file, () => undefined, new AbortController().signal),
      {
        code: "SETUP_FAILED",
        message: `Cannot lock "${file}"`,
      },
    );
  });
});
