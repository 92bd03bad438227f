// The operating-system side of one VMM: start it detached so that it outlives the service, find it again, see it end,
// end it. Knows nothing of QEMU.

import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { once } from "node:events";
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
const STDERR_TAIL_BYTES = 4000;

/** Starts `command` in its own session with stderr and stdout appended to `stderrPath`. */
export async function startDetached(
  command: readonly string[],
  stderrPath: string,
): Promise<VmmProcess> {
  const [program = "", ...args] = command;
  const output = openSync(stderrPath, "a", 0o600);
  const child = spawn(program, args, {
    detached: true,
    stdio: ["ignore", output, output],
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  closeSync(output);
  const ended = Promise.withResolvers<{ exitCode: number | null; signal: string | null }>();
  child.on("exit", (exitCode, signal) => ended.resolve({ exitCode, signal }));
  await once(child, "spawn").catch((error: unknown) => {
    throw new ServiceError("VMM_FAILED", `Cannot start "${program}"`, { cause: error });
  });
  child.unref();
  const pid = child.pid ?? 0;
  const identity = { pid, startTicks: (await readStartTicks(pid)) ?? 0 };
  const exited = ended.promise.then(async (how) => ({
    ...how,
    stderrTail: await readTail(stderrPath),
  }));
  return { identity, exited, kill: () => killProcess(identity, exited) };
}

/** Watches a process that another service process started; `mayHaveEnded` settles when it is worth looking. */
export function watchProcess(
  identity: ProcessIdentity,
  stderrPath: string,
  mayHaveEnded: Promise<void>,
): VmmProcess {
  const gone = Promise.withResolvers<void>();
  const look = async () => {
    await mayHaveEnded;
    while (await isAlive(identity)) await sleep(POLL_MS);
    gone.resolve();
  };
  void look();
  const exited = gone.promise.then(async () => ({
    exitCode: null,
    signal: null,
    stderrTail: await readTail(stderrPath),
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

async function readTail(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).slice(-STDERR_TAIL_BYTES).trim();
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return "";
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
