// The QEMU driver: one QEMU process per VMM, controlled over QMP. See docs/architecture.md for the snapshot scheme.

import { createReadStream } from "node:fs";
import { chmod, chown, constants, open, rm } from "node:fs/promises";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import { isServiceError, messageOf, ServiceError } from "../../errors.ts";
import { runCommand } from "../../lib/command.ts";
import { writeFileDurably } from "../../lib/files.ts";
import type {
  Accelerator,
  VmDriver,
  VmHardware,
  Vmm,
  VmmExit,
  VmmIdentity,
  VmmStatus,
  VmSpecCommon,
} from "../driver.ts";
import type { MemoryPool } from "../memory-pool.ts";
import {
  findProcess,
  killProcess,
  privateMemoryBytes,
  startDetached,
  watchProcess,
  type VmmProcess,
} from "../process.ts";
import {
  bootArguments,
  newHardware,
  parseQemuVersion,
  placedCommand,
  QEMU_PROGRAM,
  restoreArguments,
  vmmFiles,
} from "./args.ts";
import { connectQmp, QMP_COMMAND_TIMEOUT_MS, type QmpClient } from "./qmp.ts";

export interface QemuDriverDeps {
  readonly accelerator: Accelerator;
  readonly qemuVersion: string;
  readonly memory: MemoryPool;
}

/** From the start of the process to an answer on its control socket; measured 45–70 ms on an idle host. */
const START_TIMEOUT_MS = 20_000;
/** From the first byte of device state to its end; measured 17–25 ms. */
const LOAD_TIMEOUT_MS = 20_000;
/** How long the end of the process may come after the first sign of it. */
const EXIT_GRACE_MS = 500;
/** Pause before a guest that the host's full disk stopped is let go on. */
const DISK_RETRY_MS = 2000;
/** Largest device state accepted; measured 157 KiB. */
const DEVICES_LIMIT_BYTES = 64 * 1024 * 1024;

/** Asks the installed QEMU for its `major.minor`. Rejects VMM_FAILED when there is none. */
export async function readQemuVersion(signal: AbortSignal): Promise<string> {
  const text = await runCommand(QEMU_PROGRAM, ["--version"], { errorCode: "VMM_FAILED" }, signal);
  const version = parseQemuVersion(text);
  if (version === undefined) {
    throw new ServiceError("VMM_FAILED", `Cannot read QEMU's version from "${text.slice(0, 80)}"`);
  }
  return version;
}

/** The driver for the QEMU on this host. `deps.memory` stays the caller's to dispose. */
export function createQemuDriver(deps: QemuDriverDeps): VmDriver {
  return {
    name: "qemu",
    async boot(spec, signal) {
      const hardware = newHardware(deps.qemuVersion, deps.accelerator, spec);
      await createSparseFile(spec.memoryPath, spec.memoryMiB);
      return start(deps, spec, hardware, bootArguments(spec, hardware), true, signal);
    },
    async restore(spec, signal) {
      requireSameHost(deps, spec.hardware);
      const vmm = await start(deps, spec, spec.hardware, restoreArguments(spec), false, signal);
      try {
        if (spec.memoryDiffPath !== null) {
          await deps.memory.apply(vmm.pid, spec.memoryPath, spec.memoryDiffPath);
        }
        await vmm.loadDevices(spec.devicesPath, signal);
        return vmm;
      } catch (error) {
        await vmm[Symbol.asyncDispose]();
        throw error;
      }
    },
    adopt: (identity, signal) => adopt(deps, identity, signal),
    async reap(identity) {
      const found = await findProcess(QEMU_PROGRAM, `torpor-${identity.vmmId}`);
      if (found !== undefined) await killProcess(found);
      await removeSockets(identity.runDir);
    },
  };
}

class QemuVmm implements Vmm {
  readonly vmmId: string;
  readonly hardware: VmHardware;
  readonly exited: Promise<VmmExit>;
  readonly #process: VmmProcess;
  readonly #qmp: QmpClient;
  readonly #memory: MemoryPool;
  readonly #spec: VmmIdentity;
  /** Whether the guest is meant to run; it may stand still all the same, while the host's disk is full. */
  #mayRun = true;
  #diskRetry: NodeJS.Timeout | undefined;

  constructor(
    spec: VmmIdentity,
    hardware: VmHardware,
    vmmProcess: VmmProcess,
    qmp: QmpClient,
    memory: MemoryPool,
  ) {
    this.vmmId = spec.vmmId;
    this.hardware = hardware;
    this.exited = vmmProcess.exited;
    this.#process = vmmProcess;
    this.#qmp = qmp;
    this.#memory = memory;
    this.#spec = spec;
    qmp.onEvent(({ event, data }) => {
      if (event === "BLOCK_IO_ERROR" && data["action"] === "stop") this.#retryDisk();
    });
  }

  get pid(): number {
    return this.#process.identity.pid;
  }

  async status(signal: AbortSignal): Promise<VmmStatus> {
    try {
      const answer = await this.#qmp.execute("query-status", {}, signal);
      return statusOf(answer);
    } catch (error) {
      if (signal.aborted) throw error;
      return "ended";
    }
  }

  async pause(signal: AbortSignal): Promise<void> {
    this.#mayRun = false;
    await this.#qmp.execute("stop", {}, signal);
  }

  async resume(signal: AbortSignal): Promise<void> {
    this.#mayRun = true;
    await this.#qmp.execute("cont", {}, signal);
  }

  async saveDevices(devicesPath: string, signal: AbortSignal): Promise<void> {
    const written = vmmFiles(this.#spec.runDir).devices;
    await this.#qmp.execute("xen-save-devices-state", { filename: written, live: false }, signal);
    await takeFile(written, devicesPath);
  }

  async saveMemoryDiff(memoryDiffPath: string, signal: AbortSignal) {
    signal.throwIfAborted();
    return this.#memory.write(this.pid, this.#spec.memoryPath, memoryDiffPath);
  }

  async privateMemoryBytes(): Promise<number> {
    return privateMemoryBytes(this.pid);
  }

  /** Feeds the device state to the waiting QEMU and waits until it has taken it. */
  async loadDevices(devicesPath: string, signal: AbortSignal): Promise<void> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(LOAD_TIMEOUT_MS)]);
    await this.#qmp.execute(
      "migrate-set-capabilities",
      { capabilities: [{ capability: "events", state: true }] },
      limit,
    );
    const loaded = this.#qmp.waitForEvent(
      ({ event, data }) =>
        event === "MIGRATION" && (data["status"] === "completed" || data["status"] === "failed"),
      limit,
    );
    const [event] = await this.#orExit(
      Promise.all([loaded, sendFile(devicesPath, vmmFiles(this.#spec.runDir).incoming, limit)]),
      "load the device state",
    );
    if (event.data["status"] !== "completed") {
      throw new ServiceError("VMM_FAILED", "Cannot load the device state: QEMU refused it");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#diskRetry);
    await this.#process.kill();
    await this.#qmp[Symbol.asyncDispose]();
    await removeSockets(this.#spec.runDir);
  }

  /**
   * QEMU stops a guest whose write the host has no room for, and the write is tried again when it goes on: the guest
   * loses time instead of data.
   */
  #retryDisk(): void {
    clearTimeout(this.#diskRetry);
    this.#diskRetry = setTimeout(() => {
      if (!this.#mayRun) return;
      this.#qmp.execute("cont", {}, AbortSignal.timeout(QMP_COMMAND_TIMEOUT_MS)).catch((error) => {
        // A VMM that is gone needs no other word than its exit.
        if (!isServiceError(error)) throw error;
      });
    }, DISK_RETRY_MS).unref();
  }

  async #orExit<T>(work: Promise<T>, doing: string): Promise<T> {
    return raceExit(this.#process, work, doing);
  }
}

async function start(
  deps: QemuDriverDeps,
  spec: VmSpecCommon & { readonly memoryPath: string },
  hardware: VmHardware,
  args: readonly string[],
  keepsOutput: boolean,
  signal: AbortSignal,
): Promise<QemuVmm> {
  signal.throwIfAborted();
  const files = vmmFiles(spec.runDir);
  // QEMU makes its sockets before it gives up root, but writes device state after.
  await chown(spec.runDir, spec.placement.uid, spec.placement.gid);
  await chmod(spec.runDir, 0o700);
  const vmmProcess = await startDetached(placedCommand(spec.placement, args), { keepsOutput });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
  const connecting = connectQmp(files.control, limit);
  try {
    const qmp = await raceExit(vmmProcess, connecting, "start");
    return new QemuVmm({ ...spec, hardware }, hardware, vmmProcess, qmp, deps.memory);
  } catch (error) {
    await vmmProcess.kill();
    throw error instanceof ServiceError || signal.aborted
      ? error
      : new ServiceError("VMM_FAILED", `Cannot start QEMU: ${messageOf(error)}`, { cause: error });
  }
}

async function adopt(
  deps: QemuDriverDeps,
  identity: VmmIdentity,
  signal: AbortSignal,
): Promise<Vmm | undefined> {
  const found = await findProcess(QEMU_PROGRAM, `torpor-${identity.vmmId}`);
  if (found === undefined || identity.hardware === null) return undefined;
  const files = vmmFiles(identity.runDir);
  const limit = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
  try {
    const qmp = await connectQmp(files.control, limit);
    const vmmProcess = watchProcess(found, qmp.closed);
    return new QemuVmm(identity, identity.hardware, vmmProcess, qmp, deps.memory);
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

/**
 * `work`, or VMM_FAILED with QEMU's last words when the process ends. A dying QEMU closes its sockets a moment before
 * it is gone, so a failure of `work` waits that moment for the better explanation.
 */
async function raceExit<T>(vmmProcess: VmmProcess, work: Promise<T>, doing: string): Promise<T> {
  const explained = vmmProcess.exited.then((how): never => {
    const lastLine = how.stderrTail.split("\n").at(-1) ?? "";
    throw new ServiceError("VMM_FAILED", `QEMU could not ${doing}: ${lastLine}`, {
      details: { ...how },
    });
  });
  // Settles after the race is over when all goes well.
  explained.catch(() => undefined);
  const patient = work.catch(async (error: unknown) => {
    await Promise.race([explained, delay(EXIT_GRACE_MS, undefined, { ref: false })]);
    throw error;
  });
  patient.catch(() => undefined);
  return Promise.race([patient, explained]);
}

function statusOf(answer: unknown): VmmStatus {
  const status =
    typeof answer === "object" && answer !== null && "status" in answer ? answer.status : "";
  switch (status) {
    case "running":
      return "running";
    case "inmigrate":
    case "prelaunch":
      return "restoring";
    case "shutdown":
    case "guest-panicked":
    case "internal-error":
      return "ended";
    default:
      return "paused";
  }
}

/** A snapshot of another accelerator or CPU cannot run here; better to say so than to crash the guest. */
function requireSameHost(deps: QemuDriverDeps, hardware: VmHardware): void {
  if (hardware.driver === "qemu" && hardware.accelerator === deps.accelerator) return;
  throw new ServiceError(
    "VMM_FAILED",
    `Cannot restore: the snapshot was made by ${hardware.driver} with ${hardware.accelerator}, this host uses qemu with ${deps.accelerator}: build the image again`,
  );
}

async function createSparseFile(file: string, sizeMiB: number): Promise<void> {
  await using handle = await open(file, "wx", 0o600);
  await handle.truncate(sizeMiB * 1024 * 1024);
}

async function sendFile(file: string, socketPath: string, signal: AbortSignal): Promise<void> {
  const socket = net.connect(socketPath);
  await once(socket, "connect", { signal });
  socket.resume();
  await pipeline(createReadStream(file), socket, { signal });
}

/**
 * Copies a file that QEMU wrote as its own user. It could have put anything there, so only a plain file of sane size is
 * accepted, and what is kept is a copy that QEMU cannot reach.
 */
async function takeFile(from: string, to: string): Promise<void> {
  // Not blocking: opening a pipe would otherwise wait for a writer, and with it a thread of the service.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  await using source = await open(from, flags);
  const facts = await source.stat();
  if (!facts.isFile() || facts.size > DEVICES_LIMIT_BYTES) {
    throw new ServiceError(
      "VMM_FAILED",
      "Cannot take the device state: not a plain file of sane size",
      {
        details: { bytes: facts.size },
      },
    );
  }
  const { buffer, bytesRead } = await source.read(Buffer.alloc(facts.size), 0, facts.size, 0);
  await writeFileDurably(to, buffer.subarray(0, bytesRead));
  await rm(from, { force: true });
}

async function removeSockets(runDir: string): Promise<void> {
  const files = vmmFiles(runDir);
  for (const file of [files.control, files.incoming]) await rm(file, { force: true });
}
