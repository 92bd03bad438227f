// The container storage of one data directory: where buildah keeps layers, how it is configured, and that it neither
// grows without end nor keeps what a killed build left. Everything in it can be made again, so in doubt it is removed.
//
//   lock                     storage-lock.ts
//   host.json                HostFacts; written before storage/ is made
//   storage/, tmp/           buildah's own, belonging to the builds' user ids
//   *.conf, policy.json      buildah's configuration; of the host's own only registry drop-ins (mirrors) count
//
// INVARIANTS: storage/ is removed or swept only under the exclusive lock; whoever runs buildah holds the shared one.
// Layers are never synced: those of an earlier boot of the host may be incomplete without saying so, and are not used.

import { constants } from "node:fs";
import { chmod, chown, mkdir, open, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode, isServiceError, messageOf, ServiceError } from "../errors.ts";
import { writeFileDurably } from "../lib/files.ts";
import type { Log } from "../lib/log.ts";
import { createCgroup, sweepCgroups } from "./cgroup.ts";
import { BUILD_UID_BASE, runInSandbox, SANDBOX_TOP, type SandboxOptions } from "./sandbox.ts";
import { lockForBuild, lockForCleanup } from "./storage-lock.ts";

export interface StorageDeps {
  /** Directory that holds all of the above; made when missing. */
  readonly storageDir: string;
  readonly log: Log;
  /** Layers kept for later builds, in bytes; above it everything is removed as soon as no build runs. */
  readonly cacheLimitBytes?: number;
}

const hostFacts = z.object({
  /** Boot of the host that the layers are from. */
  bootId: z.string(),
  /** What works on it. */
  driver: z.enum(["overlay", "vfs"]),
});
type HostFacts = z.output<typeof hostFacts>;
type StorageDriver = HostFacts["driver"];

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

const CACHE_LIMIT_BYTES = 20 * 1024 ** 3;
const CLEANUP_TIMEOUT_MS = 120_000;
const BOOT_ID = "/proc/sys/kernel/random/boot_id";
/** Largest of buildah's own lists that is read; one of 10,000 layers has about 5 MiB. */
const LIST_LIMIT_BYTES = 64 * 1024 ** 2;

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
    const driver = (await readHostFacts(deps))?.driver ?? (await chooseDriver(deps, signal));
    await makeOwnDirectories(deps.storageDir);
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
  const { storageDir, log, cacheLimitBytes = CACHE_LIMIT_BYTES } = deps;
  const host = await readHostFacts(deps);
  await using lock = await lockForCleanup(lockPath(deps), signal);
  if (lock === undefined) return;
  await sweepCgroups(deps, storageDir);
  await rm(path.join(storageDir, "tmp"), { recursive: true, force: true });
  const isSwept = host !== undefined && (await sweep(deps, host.driver, signal));
  const cachedBytes = isSwept ? await layerBytes(storageDir, host.driver) : 0;
  if (isSwept && cachedBytes <= cacheLimitBytes) return;
  if (host !== undefined) log.info("Removing cached container layers", { storageDir, cachedBytes });
  await rm(path.join(storageDir, "storage"), { recursive: true, force: true });
  await rm(hostFactsPath(deps), { force: true });
}

/** Removes working containers; false when that fails. */
async function sweep(
  deps: StorageDeps,
  driver: StorageDriver,
  signal: AbortSignal,
): Promise<boolean> {
  const lists = await Promise.all(
    ["containers.json", "volatile-containers.json"].map((name) =>
      readList(path.join(deps.storageDir, "storage", `${driver}-containers`, name)),
    ),
  );
  if (lists.every((list) => list === "" || list.trim() === "[]")) return true;
  try {
    await makeOwnDirectories(deps.storageDir);
    await runWithDriver(deps, driver, "buildah rm --all", [], { binds: {} }, signal);
    return true;
  } catch (error) {
    if (signal.aborted || !isServiceError(error)) throw error;
    deps.log.warn("Cannot remove what a build left", { error: messageOf(error) });
    return false;
  }
}

/** Decompressed size of all layers as buildah recorded it. */
async function layerBytes(storageDir: string, driver: StorageDriver): Promise<number> {
  const list = await readList(path.join(storageDir, "storage", `${driver}-layers`, "layers.json"));
  const sizes = list.matchAll(/"diff-size":\s*(\d+)/g);
  return [...sizes].reduce((sum, [, size]) => sum + Number(size), 0);
}

async function prepareDirectory(storageDir: string): Promise<void> {
  await mkdir(storageDir, { recursive: true, mode: 0o755 });
  // Root of the build looks configuration up here; whether anyone else can come here is the parent's affair.
  await chmod(storageDir, 0o755);
  const files = {
    lock: "",
    "registries.conf": REGISTRIES_CONF,
    "policy.json": POLICY,
    // Names that this host gives to addresses are not the build's affair.
    "containers.conf": '[containers]\nbase_hosts_file = "none"\n',
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

/** Finds out what works on this host and notes it until the host boots again. Caller holds the shared lock. */
async function chooseDriver(deps: StorageDeps, signal: AbortSignal): Promise<StorageDriver> {
  const bootId = await readFile(BOOT_ID, "utf8");
  const works = async (driver: StorageDriver) => {
    await writeFileDurably(hostFactsPath(deps), JSON.stringify({ bootId, driver }));
    await makeOwnDirectories(deps.storageDir);
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
    await rm(hostFactsPath(deps), { force: true });
    if (signal.aborted) throw error;
    const message = `Cannot run buildah in namespaces of its own: ${messageOf(error)}`;
    throw new ServiceError("SETUP_FAILED", message, { cause: error });
  }
}

/** Undefined for a storage that is not of this boot. */
async function readHostFacts(deps: StorageDeps): Promise<HostFacts | undefined> {
  const text = await readIfExists(hostFactsPath(deps));
  if (text === undefined) return undefined;
  const facts = hostFacts.parse(JSON.parse(text));
  return facts.bootId === (await readFile(BOOT_ID, "utf8")) ? facts : undefined;
}

async function runWithDriver(
  deps: StorageDeps,
  driver: StorageDriver,
  script: string,
  args: readonly string[],
  options: SandboxOptions,
  signal: AbortSignal,
): Promise<string> {
  const { storageDir } = deps;
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
  await using cgroup = await createCgroup(deps, storageDir);
  const cgroups = cgroup.directories;
  const bounded = { ...options, binds, environment, cgroups };
  return await runInSandbox(`${define}\n${script}`, args, bounded, signal);
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

/** Reads a file that belongs to the builds' user, so may be anything; empty when it is no file or there is none. */
async function readList(file: string): Promise<string> {
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    await using handle = await open(file, flags);
    const facts = await handle.stat();
    if (!facts.isFile() || facts.size > LIST_LIMIT_BYTES) return "";
    return await handle.readFile("utf8");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ELOOP")) return "";
    throw error;
  }
}

const lockPath = ({ storageDir }: StorageDeps) => path.join(storageDir, "lock");
const hostFactsPath = ({ storageDir }: StorageDeps) => path.join(storageDir, "host.json");
