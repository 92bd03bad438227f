// The checks of `torpor doctor`: what torpor needs of a machine, whether it is met, what was seen, and the command that
// mends it. Each check looks for itself and never rejects: what it cannot find out counts as not met.

import { open, readFile, statfs } from "node:fs/promises";
import { lookup } from "node:dns/promises";
import path from "node:path";
import { hasErrorCode, isServiceError, messageOf } from "../errors.ts";
import { locateAssets, setupCommand } from "./assets.ts";
import type { RunCommand } from "./command.ts";
import { findMissingPackages, installCommand, RUNTIME_PACKAGES } from "./packages.ts";
import { readRelease } from "./release.ts";

export interface DoctorDeps {
  readonly run: RunCommand;
  readonly isRoot: boolean;
  /** Which accelerator the service would use, and why; rejects SETUP_FAILED before set-up. */
  readonly probeAccelerator: (
    signal: AbortSignal,
  ) => Promise<{ readonly accelerator: "kvm" | "tcg"; readonly reason: string }>;
  /** Address of the DNS server that guests are given; undefined when the machine has none they can use. */
  readonly readResolver: () => Promise<string | undefined>;
}

export interface CheckResult {
  readonly name: string;
  /** Without it the service cannot do its work; otherwise it does some of it worse. */
  readonly isRequired: boolean;
  readonly isMet: boolean;
  readonly seen: string;
  /** Command or action that mends it; undefined when met. */
  readonly mend?: string;
}

type Finding = Pick<CheckResult, "isMet" | "seen">;

interface Check {
  readonly name: string;
  readonly isRequired: boolean;
  readonly mend: string;
  readonly look: (signal: AbortSignal) => Promise<Finding & { readonly mend?: string }>;
}

const MIB = 1024 * 1024;
/** One small image: a root file system, a disk and the memory of its snapshot, and room to build it. */
const LEAST_DISK_MIB = 4096;
/** One build and one small microVM beside the service. */
const LEAST_MEMORY_MIB = 1024;
const CHECK_TIMEOUT_MS = 60_000;

/** Runs all checks, in the order in which a person would mend them. */
export async function runChecks(
  deps: DoctorDeps,
  dataDir: string,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const check of [
    systemCheck(),
    rootCheck(deps),
    packagesCheck(deps),
    ...kernelChecks(deps),
    assetsCheck(dataDir),
    acceleratorCheck(deps, dataDir),
    diskCheck(dataDir),
    memoryCheck(),
    resolverCheck(deps),
    localhostCheck(),
  ]) {
    results.push(await runCheck(check, signal));
  }
  return results;
}

async function runCheck(check: Check, signal: AbortSignal): Promise<CheckResult> {
  const { name, isRequired } = check;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(CHECK_TIMEOUT_MS)]);
  try {
    const { isMet, seen, mend } = await check.look(limit);
    return { name, isRequired, isMet, seen, ...(isMet ? {} : { mend: mend ?? check.mend }) };
  } catch (error) {
    signal.throwIfAborted();
    return { name, isRequired, isMet: false, seen: messageOf(error), mend: check.mend };
  }
}

function systemCheck(): Check {
  return {
    name: "system",
    isRequired: true,
    mend: "use Debian 12 or newer",
    async look() {
      const { codename, versionId } = await readRelease();
      const isSupported = process.arch === "x64";
      return { isMet: isSupported, seen: `Debian ${versionId} (${codename}), ${process.arch}` };
    },
  };
}

function rootCheck(deps: DoctorDeps): Check {
  return {
    name: "root",
    isRequired: true,
    mend: "run torpor as root",
    look: async () => ({
      isMet: deps.isRoot,
      seen: deps.isRoot ? "running as root" : "running as an unprivileged user",
    }),
  };
}

function packagesCheck(deps: DoctorDeps): Check {
  return {
    name: "packages",
    isRequired: true,
    mend: "torpor setup",
    async look(signal) {
      const names = RUNTIME_PACKAGES.map(({ name }) => name);
      const missing = await findMissingPackages(deps.run, names, signal);
      if (missing.length === 0) return { isMet: true, seen: `all ${names.length} installed` };
      return {
        isMet: false,
        seen: `missing: ${missing.join(", ")}`,
        mend: installCommand(missing),
      };
    },
  };
}

/** Each is tried for real, in namespaces that end with the attempt. */
function kernelChecks(deps: DoctorDeps): Check[] {
  const attempt = (name: string, seen: string, mend: string, command: string[], input = "") => ({
    name,
    isRequired: true,
    mend,
    async look(signal: AbortSignal): Promise<Finding> {
      const [program = "", ...args] = command;
      await deps.run(program, args, { input }, signal);
      return { isMet: true, seen };
    },
  });
  const overlay =
    "mount -t tmpfs none /mnt && cd /mnt && mkdir lower upper work merged && " +
    "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged";
  const rules =
    "table inet torpor_doctor { set s { type ipv4_addr; flags interval; }\n" +
    "chain c { type nat hook postrouting priority srcnat; ip saddr @s masquerade; }; }\n";
  return [
    tunCheck(),
    attempt(
      "network namespaces",
      "a namespace can be made",
      "run torpor where it may make namespaces (a privileged container, or the host)",
      ["unshare", "--net", "true"],
    ),
    attempt(
      "nftables",
      "address translation can be set up",
      "modprobe nf_tables nft_masq",
      ["unshare", "--net", "nft", "-f", "-"],
      rules,
    ),
    attempt("overlayfs", "an overlay can be mounted", "modprobe overlay", [
      "unshare",
      "--mount",
      "sh",
      "-c",
      overlay,
    ]),
  ];
}

function tunCheck(): Check {
  return {
    name: "tun",
    isRequired: true,
    mend: "modprobe tun",
    async look() {
      await (await open("/dev/net/tun", "r+")).close();
      return { isMet: true, seen: "/dev/net/tun opens" };
    },
  };
}

function assetsCheck(dataDir: string): Check {
  return {
    name: "assets",
    isRequired: true,
    mend: setupCommand(dataDir),
    async look() {
      const { kernelRelease, bases } = await locateAssets(dataDir);
      const names = bases.map(({ name }) => name).join(", ");
      return { isMet: true, seen: `guest kernel ${kernelRelease}, agent, base ${names}` };
    },
  };
}

function acceleratorCheck(deps: DoctorDeps, dataDir: string): Check {
  return {
    name: "accelerator",
    isRequired: false,
    mend: "run torpor where KVM works: on hardware, or with nested virtualisation switched on",
    async look(signal) {
      const choice = await deps.probeAccelerator(signal).catch((error: unknown) => {
        if (isServiceError(error, "SETUP_FAILED")) return undefined;
        throw error;
      });
      if (choice === undefined) {
        return { isMet: false, seen: "not known before set-up", mend: setupCommand(dataDir) };
      }
      const { accelerator, reason } = choice;
      const names = { kvm: "KVM", tcg: "software emulation (TCG), some ten times slower" };
      return { isMet: accelerator === "kvm", seen: `${names[accelerator]}: ${reason}` };
    },
  };
}

function diskCheck(dataDir: string): Check {
  return {
    name: "free disk",
    isRequired: true,
    mend: `free some space under "${dataDir}" or choose another place with --data-dir`,
    async look() {
      const { bavail, bsize } = await statfsOfNearest(dataDir);
      const freeMiB = Math.floor((bavail * bsize) / MIB);
      return {
        isMet: freeMiB >= LEAST_DISK_MIB,
        seen: `${formatMiB(freeMiB)} free, ${formatMiB(LEAST_DISK_MIB)} needed`,
      };
    },
  };
}

/** The data directory may not be there yet: then its nearest parent tells. */
async function statfsOfNearest(directory: string) {
  for (let at = directory; ; at = path.dirname(at)) {
    try {
      return await statfs(at);
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT") || at === path.dirname(at)) throw error;
    }
  }
}

function memoryCheck(): Check {
  return {
    name: "memory",
    isRequired: true,
    mend: "free some memory or use a larger machine",
    async look() {
      const text = await readFile("/proc/meminfo", "utf8");
      const availableMiB = Math.floor(
        Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) / 1024,
      );
      return {
        isMet: availableMiB >= LEAST_MEMORY_MIB,
        seen: `${formatMiB(availableMiB)} available, ${formatMiB(LEAST_MEMORY_MIB)} needed`,
      };
    },
  };
}

function resolverCheck(deps: DoctorDeps): Check {
  return {
    name: "resolver",
    isRequired: false,
    mend: 'name a DNS server in "/etc/resolv.conf"; without one, guests and builds resolve no names',
    async look() {
      const address = await deps.readResolver();
      return {
        isMet: address !== undefined,
        seen: address === undefined ? "no DNS server that guests can use" : `guests use ${address}`,
      };
    },
  };
}

function localhostCheck(): Check {
  return {
    name: "*.localhost names",
    isRequired: false,
    mend: "apt-get install libnss-myhostname (for clients that do not resolve such names themselves)",
    async look() {
      try {
        const { address } = await lookup("torpor-doctor.localhost");
        const isMet = address === "::1" || address.startsWith("127.");
        return { isMet, seen: `resolve to ${address}` };
      } catch (error) {
        if (!hasErrorCode(error, "ENOTFOUND", "EAI_AGAIN")) throw error;
        return { isMet: false, seen: "do not resolve" };
      }
    },
  };
}

function formatMiB(mib: number): string {
  return mib < 1024 ? `${mib} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
}
