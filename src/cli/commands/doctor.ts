// `torpor doctor`: names what the machine lacks, and how to mend it.

import path from "node:path";
import { runCommand } from "../../lib/command.ts";
import { dataPaths } from "../../lib/paths.ts";
import { readResolver } from "../../network/resolver.ts";
import { locateAssets } from "../../setup/assets.ts";
import { type CheckResult, runChecks } from "../../setup/doctor.ts";
import { readQemuVersion } from "../../vmm/qemu/driver.ts";
import { chooseAccelerator } from "../../vmm/qemu/probe.ts";
import { parseArguments } from "../arguments.ts";

/** Prints every check and resolves with the exit code: 1 when something required is not met. */
export async function runDoctor(args: readonly string[], signal?: AbortSignal): Promise<number> {
  const { config } = parseArguments(args);
  const probeAccelerator = async (stop: AbortSignal) => {
    const qemuVersion = await readQemuVersion(stop);
    const { kernelPath, initramfsPath } = await locateAssets(config.dataDir);
    const cachePath = path.join(dataPaths(config.dataDir).root, "accelerator.json");
    const wanted = config.accelerator;
    return chooseAccelerator({ wanted, qemuVersion, kernelPath, initramfsPath, cachePath }, stop);
  };
  const results = await runChecks(
    {
      run: runCommand,
      isRoot: process.getuid?.() === 0,
      probeAccelerator,
      readResolver: async () => (await readResolver())?.address,
    },
    config.dataDir,
    signal ?? new AbortController().signal,
  );
  process.stdout.write(formatResults(results));
  return isHealthy(results) ? 0 : 1;
}

/** True when everything required is met. */
export function isHealthy(results: readonly CheckResult[]): boolean {
  return results.every(({ isMet, isRequired }) => isMet || !isRequired);
}

/** The results as an aligned table, the command that mends a thing below it. */
export function formatResults(results: readonly CheckResult[]): string {
  const width = Math.max(...results.map(({ name }) => name.length));
  const lines = results.flatMap(({ name, isMet, isRequired, seen, mend }) => {
    const mark = isMet ? "ok  " : isRequired ? "FAIL" : "note";
    const line = `${mark}  ${name.padEnd(width)}  ${seen.split("\n")[0] ?? ""}`;
    return mend === undefined ? [line] : [line, `${" ".repeat(width + 8)}→ ${mend}`];
  });
  return `${lines.join("\n")}\n`;
}
