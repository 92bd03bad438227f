// The container storage of one data directory: where buildah keeps layers, how it is configured, and that it neither
// grows without end nor keeps what a killed build left. Everything in it can be made again, so in doubt it is removed.
//
//   lock                     storage-lock.ts
//   in-use                   boot id of the host; exists while builds run, so also after a crash
//   storage/, tmp/           buildah's own, belonging to the builds' user ids
//   *.conf, policy.json      buildah's configuration; of the host's own only registry drop-ins (mirrors) count
//
// INVARIANTS: storage/ is removed or swept only under the exclusive lock; whoever runs buildah holds the shared one.

import { chmod, chown, mkdir, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { hasErrorCode, isServiceError, messageOf, ServiceError } from "../errors.ts";
import { runCommand } from "../lib/command.ts";
import { writeFileDurably } from "../lib/files.ts";
import type { Log } from "../lib/log.ts";
import { BUILD_UID_BASE, runInSandbox, SANDBOX_TOP, type SandboxOptions } from "./sandbox.ts";
import { lockForBuild, lockForCleanup } from "./storage-lock.ts";

export interface StorageDeps {
  /** Directory that holds all of the above; made when missing. */
  readonly storageDir: string;
  readonly log: Log;
}

const DRIVERS = ["overlay", "vfs"] as const;
type StorageDriver = (typeof DRIVERS)[number];

/** A storage that builds may use until it is disposed. */
export interface Storage extends AsyncDisposable {
  /** As `runInSandbox`, with buildah pointed at this storage. */
  run(
    script: string,
    args: readonly string[],
    options: SandboxOptions,
    signal: AbortSignal,
  ): Promise<string>;
}

/** Layers kept for later builds, in bytes; above it everything is removed as soon as no build runs. */
const CACHE_LIMIT_BYTES = 20 * 1024 ** 3;
const CLEANUP_TIMEOUT_MS = 120_000;
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

const inSandbox = (name: string) => `${SANDBOX_TOP}/containers/${name}`;
const REGISTRIES_CONF = `# Names without a registry are Docker Hub's, as in the service; nobody can answer a question here.
unqualified-search-registries = ["docker.io"]
short-name-mode = "disabled"
`;
const STORAGE_CONF = `[storage]
driver = "overlay"
graphroot = "${inSandbox("storage")}"
runroot = "${SANDBOX_TOP}/run"
`;
const POLICY = '{ "default": [{ "type": "insecureAcceptAnything" }] }\n';

/** Opens the storage for one build. Disposing it cleans up unless another build is running. */
export async function openStorage(deps: StorageDeps, signal: AbortSignal): Promise<Storage> {
  await prepareDirectory(deps.storageDir);
  await cleanUp(deps, signal);
  const lock = await lockForBuild(lockPath(deps), signal);
  try {
    await writeFileDurably(inUsePath(deps), await readFile(BOOT_ID));
    await makeOwnDirectories(deps.storageDir);
    const driver = await chooseDriver(deps, signal);
    return {
      run: (script, args, options, runSignal) =>
        runWithDriver(deps, driver, script, args, options, runSignal),
      [Symbol.asyncDispose]: async () => {
        await lock[Symbol.asyncDispose]();
        await cleanUpAfterwards(deps);
      },
    };
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

/** A build's result does not depend on what comes after it: the next clean-up tries again. */
async function cleanUpAfterwards(deps: StorageDeps): Promise<void> {
  try {
    await cleanUp(deps, AbortSignal.timeout(CLEANUP_TIMEOUT_MS));
  } catch (error) {
    deps.log.warn("Cannot clean up container storage", { storageDir: deps.storageDir, error });
  }
}

/** Removes what killed builds left; nothing while a build runs. Happens before and after every build too. */
export async function cleanUp(deps: StorageDeps, signal: AbortSignal): Promise<void> {
  const { storageDir, log } = deps;
  const lastBootId = await readIfExists(inUsePath(deps));
  if (lastBootId === undefined) return;
  await using lock = await lockForCleanup(lockPath(deps), signal);
  if (lock === undefined) return;
  await rm(path.join(storageDir, "tmp"), { recursive: true, force: true });
  // Layers of a build that a power failure cut off can be incomplete without saying so.
  const isFromThisBoot = lastBootId === (await readFile(BOOT_ID, "utf8"));
  const cachedBytes = isFromThisBoot ? await sweep(deps, signal) : Infinity;
  if (cachedBytes > CACHE_LIMIT_BYTES) {
    log.info("Removing all cached container layers", { storageDir, cachedBytes, isFromThisBoot });
    await rm(path.join(storageDir, "storage"), { recursive: true, force: true });
  } else {
    await runCommand("sync", ["--file-system", storageDir], {}, signal);
  }
  await rm(inUsePath(deps), { force: true });
}

/** Removes working containers; the size of the layers that stay, or Infinity when the storage is beyond repair. */
async function sweep(deps: StorageDeps, signal: AbortSignal): Promise<number> {
  const present = await readdirIfExists(path.join(deps.storageDir, "storage"));
  const drivers = DRIVERS.filter((driver) => present.includes(`${driver}-layers`));
  await makeOwnDirectories(deps.storageDir);
  let bytes = 0;
  for (const driver of drivers) {
    try {
      const list = path.posix.join(inSandbox("storage"), `${driver}-layers`, "layers.json");
      const output = await runWithDriver(deps, driver, SWEEP, [list], { binds: {} }, signal);
      for (const [, size] of output.matchAll(/"diff-size":(\d+)/g)) bytes += Number(size);
    } catch (error) {
      if (signal.aborted || !isServiceError(error)) throw error;
      deps.log.warn("Cannot remove what a build left", { error: messageOf(error) });
      return Infinity;
    }
  }
  return bytes;
}

const SWEEP = `set -eu
buildah rm --all > /dev/null
grep -o '"diff-size":[0-9]*' "$1" || :
`;

async function prepareDirectory(storageDir: string): Promise<void> {
  await mkdir(storageDir, { recursive: true, mode: 0o755 });
  // Root of the build looks configuration up here; whether anyone else can come here is the parent's affair.
  await chmod(storageDir, 0o755);
  const files = {
    lock: "",
    "registries.conf": REGISTRIES_CONF,
    "policy.json": POLICY,
    "containers.conf": "",
    "storage.conf": STORAGE_CONF,
  };
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(storageDir, name);
    // Another build may be reading it.
    if ((await readIfExists(file)) !== text) await writeFileDurably(file, text, 0o644);
  }
}

async function makeOwnDirectories(storageDir: string): Promise<void> {
  for (const name of ["storage", "tmp"]) {
    const directory = path.join(storageDir, name);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chown(directory, BUILD_UID_BASE, BUILD_UID_BASE);
  }
}

async function chooseDriver(deps: StorageDeps, signal: AbortSignal): Promise<StorageDriver> {
  const works = async (driver: StorageDriver) => {
    await runWithDriver(deps, driver, "buildah info > /dev/null", [], { binds: {} }, signal);
    return driver;
  };
  try {
    return await works("overlay");
  } catch (error) {
    if (signal.aborted || !isServiceError(error)) throw error;
    deps.log.warn("Overlay storage does not work here: builds copy whole layers instead", {
      error: messageOf(error),
    });
  }
  try {
    return await works("vfs");
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot run buildah in namespaces of its own: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

function runWithDriver(
  { storageDir }: StorageDeps,
  driver: StorageDriver,
  script: string,
  args: readonly string[],
  options: SandboxOptions,
  signal: AbortSignal,
): Promise<string> {
  const define = `buildah() { command buildah --root ${inSandbox("storage")} --runroot ${SANDBOX_TOP}/run --storage-driver ${driver} "$@"; }`;
  const environment = {
    TMPDIR: inSandbox("tmp"),
    CONTAINERS_CONF: inSandbox("containers.conf"),
    CONTAINERS_STORAGE_CONF: inSandbox("storage.conf"),
    CONTAINERS_REGISTRIES_CONF: inSandbox("registries.conf"),
    BUILDAH_ISOLATION: "chroot",
    ...options.environment,
  };
  const binds = { containers: storageDir, ...options.binds };
  return runInSandbox(`${define}\n${script}`, args, { ...options, binds, environment }, signal);
}

/** The flag with which buildah finds its signature policy. */
export const SIGNATURE_POLICY = `--signature-policy=${inSandbox("policy.json")}`;

async function readIfExists(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function readdirIfExists(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return [];
    throw error;
  }
}

const lockPath = ({ storageDir }: StorageDeps) => path.join(storageDir, "lock");
const inUsePath = ({ storageDir }: StorageDeps) => path.join(storageDir, "in-use");
