// The Rust compiler that builds the guest agent: the one in PATH when it is new enough, else Debian's newest.

import { messageOf, ServiceError } from "../errors.ts";
import type { RunCommand } from "./command.ts";
import { findMissingPackages } from "./packages.ts";
import { parseControlFields } from "./private-apt.ts";

/** Debian has two Rusts: the release's own, and a newer one kept for building web browsers. */
const DEBIAN_TOOLCHAINS = [
  { cargo: "cargo", others: ["rustc"], tools: ["rustfmt", "rust-clippy"] },
  { cargo: "cargo-web", others: ["rustc-web"], tools: ["rustfmt-web", "rust-web-clippy"] },
] as const;

/** The version of the cargo in PATH, or undefined when there is none that starts. */
export async function findCargoVersion(
  run: RunCommand,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const text = await run("cargo", ["--version"], { errorCode: "SETUP_FAILED" }, signal);
    return /^cargo (\d+\.\d+(?:\.\d+)?)/.exec(text)?.[1];
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

/** True when dotted version `have` is `need` or newer. */
export function isVersionAtLeast(have: string, need: string): boolean {
  const numbers = (version: string) => version.split(".").map((part) => Number.parseInt(part, 10));
  const [a, b] = [numbers(have), numbers(need)];
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

export interface RustNeed {
  /** Oldest version that will do. */
  readonly need: string;
  /** Formatter and linter, too. */
  readonly withTools: boolean;
}

/** True when `findRustPackages` has something to install. A toolchain that is not Debian's is left as it is. */
export async function lacksRust(
  run: RunCommand,
  { need, withTools }: RustNeed,
  signal: AbortSignal,
): Promise<boolean> {
  const present = await findCargoVersion(run, signal);
  if (present === undefined || !isVersionAtLeast(present, need)) return true;
  return withTools && (await findMissingTools(run, signal)).length > 0;
}

/** The tools that the installed Debian toolchain, if there is one, could have beside it. */
async function findMissingTools(run: RunCommand, signal: AbortSignal): Promise<string[]> {
  for (const { cargo, tools } of DEBIAN_TOOLCHAINS) {
    const missing = await findMissingPackages(run, [cargo, ...tools], signal);
    if (!missing.includes(cargo)) return missing;
  }
  return [];
}

/**
 * The packages to install for the Rust that `lacksRust` missed. Needs up-to-date package indexes. Rejects SETUP_FAILED
 * when Debian's are all too old.
 */
export async function findRustPackages(
  run: RunCommand,
  { need, withTools }: RustNeed,
  signal: AbortSignal,
): Promise<string[]> {
  const present = await findCargoVersion(run, signal);
  if (present !== undefined && isVersionAtLeast(present, need)) {
    return withTools ? findMissingTools(run, signal) : [];
  }
  for (const { cargo, others, tools } of DEBIAN_TOOLCHAINS) {
    const version = await findCandidate(run, cargo, signal);
    if (version === undefined || !isVersionAtLeast(version, need)) continue;
    return [cargo, ...others, ...(withTools ? tools : [])];
  }
  const found = present === undefined ? "no cargo in PATH" : `cargo ${present} in PATH`;
  throw new ServiceError(
    "SETUP_FAILED",
    `Cannot build the guest agent: ${found} and no package of this Debian has Rust ${need}; ` +
      "install Rust with rustup and put cargo in PATH",
  );
}

async function findCandidate(
  run: RunCommand,
  packageName: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const text = await run("apt-cache", ["show", "--no-all-versions", packageName], {}, signal);
    return parseControlFields(text).get("Version")?.replace(/^\d+:/, "");
  } catch (error) {
    if (signal.aborted) throw error;
    // apt-cache exits with 100 for a name it does not know; anything else wrong with apt shows at installation.
    if (!messageOf(error).includes("exited with 100")) throw error;
    return undefined;
  }
}
