// The bound on what one build may take of the host: a control group with a limit on processes and one on memory.
//
// Version 2 where a group's memory and processes can both be limited (Debian 12 and newer), version 1 otherwise. A group is
// made beside or below the service's own, so that what bounds the service's surroundings also bounds its builds. Processor
// time and disk are not bounded here: builds give way by priority, and a full disk is a build's failure.
//
// A host that lets nobody make groups (some containers) builds without bounds: that is logged, not a reason to fail.

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hasErrorCode, messageOf } from "../errors.ts";
import type { Log } from "../lib/log.ts";

export interface CgroupDeps {
  readonly log: Log;
  /** Where the host mounts its control groups; /sys/fs/cgroup unless given. */
  readonly mountDir?: string;
  /** Text of /proc/self/cgroup; read from there unless given. */
  readonly membership?: string;
}

export interface Cgroup extends AsyncDisposable {
  /** Directories whose `cgroup.procs` a process enters; empty on a host that allows no bounds. */
  readonly directories: readonly string[];
}

/** Processes and threads of one build; `make -j` on a large machine needs hundreds, the host has 32768 or more in all. */
const PROCESS_LIMIT = 4096;
/** Includes what a build writes to file systems in memory. */
const MEMORY_LIMIT_BYTES = Math.max(2 * 1024 ** 3, Math.floor(totalmem() / 2));

/** Files of a limit in either version, with what goes into them. Hosts without swap accounting lack the ones for swap. */
const LIMITS_V2 = {
  "pids.max": PROCESS_LIMIT,
  "memory.max": MEMORY_LIMIT_BYTES,
  "memory.swap.max": 0,
};
const LIMITS_V1 = {
  pids: { "pids.max": PROCESS_LIMIT },
  memory: {
    "memory.limit_in_bytes": MEMORY_LIMIT_BYTES,
    "memory.memsw.limit_in_bytes": MEMORY_LIMIT_BYTES,
  },
};
const IS_OPTIONAL: ReadonlySet<string> = new Set([
  "memory.swap.max",
  "memory.memsw.limit_in_bytes",
]);

const MOUNT_DIR = "/sys/fs/cgroup";
/** A killed process leaves its group a moment after it is waited for. */
const REMOVAL_TRIES = 20;
const REMOVAL_PAUSE_MS = 50;

interface Place {
  readonly parent: string;
  readonly limits: Readonly<Record<string, number>>;
}

/** Makes a group for a build in the storage `storageDir`; disposing it removes it once it is empty. Never rejects. */
export async function createCgroup(deps: CgroupDeps, storageDir: string): Promise<Cgroup> {
  const name = `${prefixOf(storageDir)}${Math.random().toString(36).slice(2)}`;
  const directories: string[] = [];
  const places = await findPlaces(deps);
  if (places.length === 0) {
    deps.log.warn("No control groups for processes and memory: builds run without bounds");
  }
  for (const { parent, limits } of places) {
    const directory = path.join(parent, name);
    try {
      await mkdir(directory);
      directories.push(directory);
      await writeLimits(directory, limits);
    } catch (error) {
      const why = { directory, error: messageOf(error) };
      deps.log.warn("Cannot set up a control group: the build runs without its bounds", why);
    }
  }
  return {
    directories,
    [Symbol.asyncDispose]: async () => {
      for (const directory of directories) await remove(deps, directory, REMOVAL_TRIES);
    },
  };
}

/** Removes the groups of killed builds in `storageDir`; only when no build runs in it. Never rejects. */
export async function sweepCgroups(deps: CgroupDeps, storageDir: string): Promise<void> {
  for (const { parent } of await findPlaces(deps)) {
    const names = await readdir(parent).catch(() => []);
    const left = names.filter((name) => name.startsWith(prefixOf(storageDir)));
    for (const name of left) await remove(deps, path.join(parent, name), 1);
  }
}

/** Storages are of several services or tests: each sweeps its own. */
function prefixOf(storageDir: string): string {
  const hash = createHash("sha256").update(path.resolve(storageDir)).digest("hex");
  return `torpor-build-${hash.slice(0, 16)}-`;
}

async function writeLimits(directory: string, limits: Place["limits"]): Promise<void> {
  for (const [file, limit] of Object.entries(limits)) {
    try {
      await writeFile(path.join(directory, file), String(limit));
    } catch (error) {
      if (!IS_OPTIONAL.has(file)) throw error;
    }
  }
}

async function remove(deps: CgroupDeps, directory: string, tries: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await rmdir(directory);
      return;
    } catch (error) {
      if (hasErrorCode(error, "ENOENT")) return;
      if (attempt >= tries || !hasErrorCode(error, "EBUSY")) {
        deps.log.warn("Cannot remove a control group", { directory, error: messageOf(error) });
        return;
      }
    }
    await delay(REMOVAL_PAUSE_MS);
  }
}

/** Where groups can be made, and with which limits: one place in version 2, one for each controller in version 1. */
async function findPlaces(deps: CgroupDeps): Promise<Place[]> {
  const { mountDir = MOUNT_DIR } = deps;
  const membership = deps.membership ?? (await readText("/proc/self/cgroup")) ?? "";
  const own = new Map(
    membership.split("\n").flatMap((line) => {
      const [, controllers, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
      return controllers === undefined || group === undefined ? [] : [[controllers, group]];
    }),
  );
  // A group that has processes of its own, as a service's, passes no controller on: one above it does.
  const parent = await nearest(mountDir, own.get("") ?? "/", "cgroup.subtree_control", (text) =>
    ["memory", "pids"].every((controller) => text.split(/\s/).includes(controller)),
  );
  if (parent !== undefined) return [{ parent, limits: LIMITS_V2 }];
  const places: Place[] = [];
  for (const [controller, limits] of Object.entries(LIMITS_V1)) {
    const hierarchy = path.join(mountDir, controller);
    const group = await nearest(hierarchy, own.get(controller) ?? "/", "cgroup.procs", () => true);
    if (group !== undefined) places.push({ parent: group, limits });
  }
  return places;
}

/** The lowest directory from `top`/`group` upwards whose `file` says what is wanted. */
async function nearest(
  top: string,
  group: string,
  file: string,
  isWanted: (text: string) => boolean,
): Promise<string | undefined> {
  for (let at = path.posix.join("/", group); ; at = path.posix.dirname(at)) {
    const text = await readText(path.join(top, at, file));
    if (text !== undefined && isWanted(text)) return path.join(top, at);
    if (at === "/") return undefined;
  }
}

/** Undefined for whatever cannot be read: that is no place for a group, and no reason to fail a build. */
async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "syscall" in error) return undefined;
    throw error;
  }
}
