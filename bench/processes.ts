// What the operating system says about the processes of a microVM or a proxy, from outside.

import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";

/** Ids of the processes that have `text` in their command line. */
export function pidsWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => readProc(`/proc/${entry}/cmdline`).includes(text))
    .map(Number);
}

/** Bytes of memory that the process shares with no other (Private_* of smaps_rollup). */
export function privateBytes(pid: number): number {
  const rollup = readProc(`/proc/${pid}/smaps_rollup`);
  const kib = [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].map((match) => Number(match[1]));
  return kib.reduce((sum, one) => sum + one, 0) * 1024;
}

/** Forgets the most memory that the process has had so far. */
export function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** Most bytes of memory that the process has had since `resetPeakMemory`. */
export function peakMemoryBytes(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readProc(`/proc/${pid}/status`))?.[1]) * 1024;
}

/** Seconds of processor time that the process has taken so far. */
export function processorSeconds(pid: number): number {
  // The name before may have spaces and parentheses in it; user and system time in hundredths are fields 14 and 15.
  const fields = readProc(`/proc/${pid}/stat`).replace(/^.*\)/s, "").trim().split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Bytes that the process has caused to be written to disks so far. */
export function writtenBytes(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readProc(`/proc/${pid}/io`))?.[1]);
}

/** Bytes of disk that the files below `directory` take: allocated blocks, not lengths. */
export function allocatedBytes(directory: string): number {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => statSync(path.join(directory, name)).blocks * 512)
    .reduce((sum, one) => sum + one, 0);
}

/** Empty when the process ended meanwhile. */
function readProc(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ESRCH") return "";
    throw error;
  }
}
