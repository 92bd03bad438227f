// What a number was measured on; numbers without it mean nothing to anyone else.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";

export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly distribution: string;
  readonly qemu: string;
  readonly node: string;
  /** Average number of runnable processes over the last minute; beside an idle machine's, what else went on. */
  readonly loadAverage: number;
}

/** Reads the facts of this machine as they are now. */
export function machineFacts(): MachineFacts {
  const [processor, ...others] = cpus();
  return {
    cpu: processor?.model.trim() ?? "unknown",
    cores: others.length + 1,
    memoryMiB: Math.round(totalmem() / 1024 / 1024),
    kernel: release(),
    distribution: /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "",
    qemu: execFileSync("qemu-system-x86_64", ["--version"], { encoding: "utf8" })
      .split("\n", 1)
      .join(),
    node: process.version,
    loadAverage: loadavg()[0] ?? 0,
  };
}
