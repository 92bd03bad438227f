// The Debian packages of benches: installed when missing, without their services, which Debian would start.

import { rm, writeFile } from "node:fs/promises";
import { hasErrorCode } from "../src/errors.ts";
import { runCommand } from "../src/lib/command.ts";
import {
  BENCH_PACKAGES,
  findMissingPackages,
  installPackages,
  updateIndexes,
} from "../src/setup/packages.ts";

/** Asked by maintainer scripts whether a service may start; 101 says no (Debian Policy, 9.3.3). */
const SERVICE_POLICY = "/usr/sbin/policy-rc.d";
const PATIENCE_MS = 10 * 60_000;

/** Installs what is missing. Rejects SETUP_FAILED with the command to type when this is not root or apt cannot. */
export async function ensureBenchPackages(say: (line: string) => void): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const wanted = BENCH_PACKAGES.map(({ name }) => name);
  const names = await findMissingPackages(runCommand, wanted, signal);
  if (names.length === 0) return;
  const isRoot = process.getuid?.() === 0;
  const deps = { run: runCommand, isRoot, onOutput: () => undefined, doing: say };
  const isOurs = isRoot && (await forbidServices());
  try {
    const updateFailure = await updateIndexes(deps, signal);
    await installPackages(deps, { names, updateFailure }, signal);
  } finally {
    if (isOurs) await rm(SERVICE_POLICY, { force: true });
  }
}

/** False where the machine has a policy of its own, which stays. */
async function forbidServices(): Promise<boolean> {
  try {
    await writeFile(SERVICE_POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755, flag: "wx" });
    return true;
  } catch (error) {
    if (hasErrorCode(error, "EEXIST")) return false;
    throw error;
  }
}
