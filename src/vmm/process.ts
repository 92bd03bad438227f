// The operating-system side of one VMM: start it detached so that it outlives the service, find it again, see it end,
// end it. Knows nothing of QEMU.

import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { once } from "node:events";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { hasErrorCode, ServiceError } from "../errors.ts";
import type { VmmExit } from "./driver.ts";

/** A process by number and by the tick it started at, so that a recycled number is never mistaken for it. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
}

export interface VmmProcess {
  readonly identity: ProcessIdentity;
  /** Settles when the process is gone. Never rejects. */
  readonly exited: Promise<VmmExit>;
  /** SIGKILL, then waits until the process is gone. A VMM has nothing to save: what is worth keeping was saved before. */
  kill(): Promise<void>;
}

/** How often a process that is not our child is looked at once its end is near. */
const POLL_MS = 10;
/** How long SIGKILL may take; more means the process hangs in the kernel. */
const KILL_TIMEOUT_MS = 10_000;
/** How much of a VMM's errors is read before its pipe is closed, and how much of any output is kept. */
const HEAD_CHARACTERS = 64 * 1024;
const TAIL_CHARACTERS = 4000;

export interface StartOptions {
  /** Keep the end of what the program prints, for `VmmExit.consoleTail`; without it standard output goes nowhere. */
  readonly keepsOutput: boolean;
}

/**
 * Starts `command` in its own session. What it prints is kept in memory, bounded, and not in a file: a guest can make
 * its VMM print for ever. The pipes end with the service; a VMM ignores SIGPIPE and goes on without them.
 */
export async function startDetached(
  command: readonly string[],
  { keepsOutput }: StartOptions,
): Promise<VmmProcess> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    detached: true,
    stdio: ["ignore", keepsOutput ? "pipe" : "ignore", "pipe"],
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  const stderr = keepHead(child.stderr);
  const stdout = keepTail(child.stdout);
  const ended = Promise.withResolvers<VmmExit>();
  child.on("close", (exitCode, signal) =>
    ended.resolve({ exitCode, signal, stderrTail: stderr(), consoleTail: stdout() }),
  );
  await once(child, "spawn").catch((error: unknown) => {
    throw new ServiceError("VMM_FAILED", `Cannot start "${program}"`, { cause: error });
  });
  child.unref();
  const pid = child.pid ?? 0;
  const identity = { pid, startTicks: (await readStartTicks(pid)) ?? 0 };
  return { identity, exited: ended.promise, kill: () => killProcess(identity, ended.promise) };
}

/** Keeps the first HEAD_CHARACTERS of a stream and then closes it: what a VMM says first explains why it failed. */
function keepHead(stream: Readable | null): () => string {
  let text = "";
  unreference(stream);
  stream?.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    if (text.length > HEAD_CHARACTERS) stream.destroy();
  });
  stream?.on("error", () => stream.destroy());
  return () => text.slice(-TAIL_CHARACTERS).trim();
}

/** Keeps the last part of a stream, for as long as it lasts. */
function keepTail(stream: Readable | null): () => string {
  let text = "";
  unreference(stream);
  stream?.setEncoding("utf8").on("data", (chunk: string) => {
    text = (text + chunk).slice(-TAIL_CHARACTERS);
  });
  stream?.on("error", () => stream.destroy());
  return () => text.trim();
}

/** A pipe to a VMM must not keep the service from ending. */
function unreference(stream: Readable | null): void {
  if (stream instanceof Socket) stream.unref();
}

/** Watches a process that another service process started; `mayHaveEnded` settles when it is worth looking. */
export function watchProcess(identity: ProcessIdentity, mayHaveEnded: Promise<void>): VmmProcess {
  const gone = Promise.withResolvers<void>();
  const look = async () => {
    await mayHaveEnded;
    while (await isAlive(identity)) await sleep(POLL_MS);
    gone.resolve();
  };
  void look();
  const exited = gone.promise.then(() => ({
    ...{ exitCode: null, signal: null, stderrTail: "", consoleTail: "" },
  }));
  return { identity, exited, kill: () => killProcess(identity, exited) };
}

/** The live process whose command line contains `marker` as part of an argument and runs `program`; undefined if none. */
export async function findProcess(
  program: string,
  marker: string,
): Promise<ProcessIdentity | undefined> {
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const commandLine = await readProcFile(`/proc/${entry}/cmdline`);
    const args = commandLine?.split("\0") ?? [];
    if (!args.some((arg) => arg.endsWith(program)) || !args.some((arg) => arg.includes(marker))) {
      continue;
    }
    const startTicks = await readStartTicks(Number(entry));
    if (startTicks !== undefined) return { pid: Number(entry), startTicks };
  }
  return undefined;
}

/** Kills a process found by `findProcess` and waits until it is gone. */
export async function killProcess(
  identity: ProcessIdentity,
  exited: Promise<unknown> = untilGone(identity),
): Promise<void> {
  if (await isAlive(identity)) {
    try {
      process.kill(identity.pid, "SIGKILL");
    } catch (error) {
      if (!hasErrorCode(error, "ESRCH")) throw error;
    }
  }
  const timeout = new AbortController();
  const late = sleep(KILL_TIMEOUT_MS, timeout.signal).then(() => {
    if (timeout.signal.aborted) return;
    throw new ServiceError(
      "VMM_FAILED",
      `Cannot end process ${identity.pid}: still there ${KILL_TIMEOUT_MS} ms after SIGKILL`,
    );
  });
  await Promise.race([exited, late]).finally(() => timeout.abort());
}

/** Whether the process still runs; a zombie does not. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const stat = await readStat(identity.pid);
  return stat !== undefined && stat.state !== "Z" && stat.startTicks === identity.startTicks;
}

/** Bytes of memory that belong to the process alone (Private_* of smaps_rollup). */
export async function privateMemoryBytes(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  let kib = 0;
  for (const match of rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)) kib += Number(match[1]);
  return kib * 1024;
}

async function untilGone(identity: ProcessIdentity): Promise<void> {
  while (await isAlive(identity)) await sleep(POLL_MS);
}

async function readStartTicks(pid: number): Promise<number | undefined> {
  return (await readStat(pid))?.startTicks;
}

/** State and start time from `/proc/PID/stat`: fields 3 and 22; the name in field 2 may hold spaces and brackets. */
async function readStat(pid: number): Promise<{ state: string; startTicks: number } | undefined> {
  const stat = await readProcFile(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", startTicks: Number(fields[19]) };
}

async function readProcFile(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
