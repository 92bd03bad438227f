// What the host has left, looked at when somebody asks.

import { readFile, statfs } from "node:fs/promises";
import type { Instruments } from "./metrics.ts";

/** Sets the gauges of memory and disk. A file system that cannot be asked keeps the figures it had. */
export async function measureCapacity(instruments: Instruments, dataDir: string): Promise<void> {
  const { total, available } = parseMeminfo(await readFile("/proc/meminfo", "utf8"));
  instruments.hostMemory.labels("total").set(total);
  instruments.hostMemory.labels("available").set(available);
  const usage = await statfs(dataDir).catch(() => undefined);
  if (usage === undefined) return;
  const { bsize, blocks, bavail } = usage;
  instruments.dataDirectory.labels("total").set(blocks * bsize);
  instruments.dataDirectory.labels("available").set(bavail * bsize);
}

/** Bytes, of the text of `/proc/meminfo`. */
export function parseMeminfo(text: string): { total: number; available: number } {
  const kibibytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? Number.NaN);
  return { total: kibibytes("MemTotal") * 1024, available: kibibytes("MemAvailable") * 1024 };
}
