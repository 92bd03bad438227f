// The Debian packages torpor calls programs of: which are missing, and their installation by apt.

import { messageOf, ServiceError } from "../errors.ts";
import type { RunCommand } from "./command.ts";

export interface RequiredPackage {
  readonly name: string;
  /** What torpor does with it, for `doctor` and the person who asks why. */
  readonly why: string;
}

/** What the service itself calls. */
export const RUNTIME_PACKAGES: readonly RequiredPackage[] = [
  { name: "qemu-system-x86", why: "runs the microVMs" },
  { name: "buildah", why: "builds images from Dockerfiles" },
  { name: "nftables", why: "address translation and egress rules of the microVMs" },
  { name: "iproute2", why: "network namespaces and links of the microVMs" },
  { name: "erofs-utils", why: "packs an image's root file system" },
  { name: "e2fsprogs", why: "formats a microVM's disk" },
  { name: "mount", why: "mounts a build's root file system" },
  { name: "util-linux", why: "starts programs in namespaces" },
  { name: "kmod", why: "loads tun, overlay and nf_tables where they are modules" },
  { name: "ca-certificates", why: "checks registries and package indexes during builds" },
];

/** What set-up itself calls. */
export const SETUP_PACKAGES: readonly RequiredPackage[] = [
  { name: "mmdebstrap", why: "makes the managed base image" },
  { name: "debian-archive-keyring", why: "checks Debian's signatures" },
  { name: "xz-utils", why: "unpacks the guest kernel's modules" },
  { name: "gcc", why: "links the guest agent" },
  { name: "libc6-dev", why: "the C library the guest agent is linked with" },
];

/** What the tests and the examples call beyond that. */
export const DEVELOPMENT_PACKAGES: readonly RequiredPackage[] = [
  { name: "python3-venv", why: "runs Python's AWS and HTTP clients in the tests" },
  { name: "golang-go", why: "builds test tools that are written in Go" },
  { name: "curl", why: "an HTTP client of the tests" },
  { name: "chromium-headless-shell", why: "the browser of the tests" },
];

/** What `bench ingress` compares the ingress with and loads it by; installed when it is first run. */
export const BENCH_PACKAGES: readonly RequiredPackage[] = [
  { name: "nginx-light", why: "the upstream of the ingress bench, and the proxy beside it" },
  { name: "haproxy", why: "another proxy beside the ingress in its bench" },
  { name: "nghttp2-client", why: "h2load, which loads the proxies over HTTP/1.1 and HTTP/2" },
];

export interface PackageDeps {
  readonly run: RunCommand;
  readonly isRoot: boolean;
  readonly onOutput: (chunk: string) => void;
  readonly doing: (what: string) => void;
}

/** The names, of those given, that are not installed. Rejects SETUP_FAILED when dpkg cannot be asked. */
export async function findMissingPackages(
  run: RunCommand,
  names: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const format = "${Package} ${db:Status-Status}\\n";
  const text = await run(
    "dpkg-query",
    ["--show", `--showformat=${format}`, "*"],
    { errorCode: "SETUP_FAILED" },
    signal,
  );
  const installed = new Set(
    text.split("\n").flatMap((line) => (line.endsWith(" installed") ? [line.split(" ")[0]] : [])),
  );
  return names.filter((name) => !installed.has(name));
}

/** The command a person types to install packages. */
export function installCommand(names: readonly string[]): string {
  return `apt-get update && apt-get install --no-install-recommends ${names.join(" ")}`;
}

/** Installs packages. Rejects SETUP_FAILED with the command to type when this is not root or apt cannot. */
export async function installPackages(
  deps: PackageDeps,
  options: { readonly names: readonly string[]; readonly updateFailure: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { names, updateFailure } = options;
  const details = { packages: names };
  const command = installCommand(names);
  if (names.length === 0) return;
  if (!deps.isRoot) {
    const message = `Cannot install packages without root: run as root "${command}"`;
    throw new ServiceError("SETUP_FAILED", message, { details });
  }
  deps.doing(`installing ${names.join(" ")}`);
  try {
    await runApt(deps, ["install", "--yes", "--no-install-recommends", ...names], signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const reasons = [updateFailure, messageOf(error)].filter((reason) => reason !== undefined);
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot install packages: ${reasons.join("; ")}; mend apt until this works: "${command}"`,
      { cause: error, details },
    );
  }
}

/**
 * Fetches apt's indexes when this is root. Resolves with what went wrong rather than rejecting: another source of the
 * machine may be broken without ours being so, and only the installation decides.
 */
export async function updateIndexes(
  deps: PackageDeps,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!deps.isRoot) return undefined;
  deps.doing("updating the package indexes");
  try {
    await runApt(deps, ["update"], signal);
    return undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    return messageOf(error);
  }
}

async function runApt(deps: PackageDeps, args: string[], signal: AbortSignal): Promise<void> {
  const options = ["DPkg::Lock::Timeout=600", "Dpkg::Use-Pty=0", "Acquire::Retries=3"];
  await deps.run(
    "env",
    [
      "DEBIAN_FRONTEND=noninteractive",
      "LC_ALL=C",
      "apt-get",
      ...options.flatMap((option) => ["-o", option]),
      ...args,
    ],
    { onOutput: deps.onOutput, errorCode: "SETUP_FAILED" },
    signal,
  );
}
