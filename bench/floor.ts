// The floor under the service's numbers: the same image's files, the same QEMU arguments and a slot of the same kind, but
// only the steps without which nothing answers. No record, no sync, no checksum, no word with the agent, no API, no TLS,
// and the disk is copied before the clock starts. One guest at a time, in one slot that is made once.

import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type ImageFiles, type ImageManifest, readManifest } from "../src/host/image-files.ts";
import { runCommand } from "../src/lib/command.ts";
import { silentLog } from "../src/lib/log.ts";
import type { Slot } from "../src/network/slot.ts";
import { createSlotPool } from "../src/network/slots.ts";
import { placedCommand, restoreArguments, vmmFiles } from "../src/vmm/qemu/args.ts";
import { createPages } from "./pages.ts";

/** Milliseconds that each step took, in order. */
export type FloorSteps = Readonly<Record<string, number>>;

export interface Floor extends AsyncDisposable {
  /** Restores the image's snapshot; ends with the first 200. */
  run(): Promise<FloorSteps>;
  /** Keeps the memory and devices of what runs and ends its process. */
  suspend(): Promise<FloorSteps>;
  /** Restores what `suspend` kept; ends with the first 200. */
  resume(): Promise<FloorSteps>;
  /** One request to the application, on a connection of its own. */
  request(): Promise<void>;
  /** Bytes of memory that the last `suspend` kept. */
  savedBytes(): number;
  /** Ends what runs, if anything. */
  end(): Promise<void>;
}

export interface FloorOptions {
  readonly image: ImageFiles;
  /** Existing directory on the file system that the service uses. */
  readonly workDir: string;
  /** Address range for the one slot; must not meet the service's. */
  readonly cidr: string;
  readonly uidBase: number;
  readonly appPort: number;
}

/** Pause before another try while QEMU has not made its socket yet, or the application refuses. */
const RETRY_MS = 1;
/** A guest that has just begun to run may lose a packet; another attempt starts after this long. */
const ATTEMPT_MS = 250;
const PATIENCE_MS = 60_000;

interface Guest {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown>;
  readonly qmp: Qmp;
  readonly runDir: string;
}

/** Leases the slot. Disposing it ends the guest and removes the slot. */
export async function openFloor(options: FloorOptions): Promise<Floor> {
  const { image, workDir, appPort } = options;
  const manifest = await readManifest(image);
  const pool = await createSlotPool(
    { log: silentLog() },
    { dataDir: workDir, cidr: options.cidr, uidBase: options.uidBase, ready: 0, max: 1 },
  );
  const slot = await pool.lease({ internet: true }, AbortSignal.timeout(PATIENCE_MS));
  const at = (name: string) => path.join(workDir, name);
  // QEMU, unprivileged, writes device state here; others may pass through to their own directory.
  const runBase = await mkdtemp("/run/torpor-floor-");
  await chmod(runBase, 0o711);
  const [disk, devices] = [at("disk"), at("devices")];
  const pages = createPages(image.memory, at("memory"));
  let guest: Guest | undefined;

  async function launch(devicesPath: string, hasPages: boolean): Promise<FloorSteps> {
    const clock = startClock();
    guest = await start({ slot, image, manifest, disk, runDir: path.join(runBase, randomUUID()) });
    clock.mark("process");
    if (hasPages) pages.load(pidOf(guest));
    clock.mark("pages");
    await loadDevices(guest, devicesPath);
    clock.mark("devices");
    await guest.qmp.command("cont");
    await firstOk(slot.address, appPort);
    clock.mark("first200");
    return clock.steps;
  }

  async function end(): Promise<void> {
    const ended = guest;
    guest = undefined;
    if (ended === undefined) return;
    ended.child.kill("SIGKILL");
    await ended.exited;
    ended.qmp.close();
    await rm(ended.runDir, { recursive: true, force: true });
  }

  return {
    async run() {
      const args = ["--reflink=auto", "--sparse=always", image.disk, disk];
      await runCommand("cp", args, {}, AbortSignal.timeout(PATIENCE_MS));
      return launch(image.devices, false);
    },
    async suspend() {
      if (guest === undefined) throw new Error("Nothing runs that could be suspended");
      const clock = startClock();
      await guest.qmp.command("stop");
      clock.mark("stop");
      pages.save(pidOf(guest));
      clock.mark("pages");
      const written = vmmFiles(guest.runDir).devices;
      await guest.qmp.command("xen-save-devices-state", { filename: written, live: false });
      clock.mark("devices");
      const files = { ...guest };
      guest = undefined;
      files.child.kill("SIGKILL");
      await files.exited;
      clock.mark("end");
      files.qmp.close();
      await runCommand("cp", [written, devices], {}, AbortSignal.timeout(PATIENCE_MS));
      await rm(files.runDir, { recursive: true, force: true });
      return clock.steps;
    },
    resume: () => launch(devices, true),
    request: () => firstOk(slot.address, appPort),
    savedBytes: () => pages.bytes,
    end,
    async [Symbol.asyncDispose]() {
      await end();
      await pool.release(slot);
      await pool[Symbol.asyncDispose]();
      await rm(runBase, { recursive: true, force: true });
    },
  };
}

function pidOf({ child }: Guest): number {
  if (child.pid === undefined) throw new Error("QEMU was not started");
  return child.pid;
}

function startClock() {
  const steps: Record<string, number> = {};
  let last = performance.now();
  return {
    steps,
    mark(name: string) {
      const now = performance.now();
      steps[name] = now - last;
      last = now;
    },
  };
}

interface StartRequest {
  readonly slot: Slot;
  readonly image: ImageFiles;
  readonly manifest: ImageManifest;
  readonly disk: string;
  readonly runDir: string;
}

async function start({ slot, image, manifest, disk, runDir }: StartRequest): Promise<Guest> {
  await mkdir(runDir, { mode: 0o700 });
  await chown(runDir, slot.uid, slot.gid);
  const args = restoreArguments({
    ...{ vmmId: path.basename(runDir), runDir, placement: slot, hardware: manifest.hardware },
    ...{ rootfsPath: image.rootfs, diskPath: disk, memoryPath: image.memory },
    ...{ devicesPath: image.devices, memoryDiffPath: null },
  });
  const [program = "", ...rest] = placedCommand(slot, args);
  const child = spawn(program, rest, { stdio: ["ignore", "ignore", "inherit"] });
  const exited = once(child, "exit");
  const qmp = openQmp(await connectWhenThere(vmmFiles(runDir).control, child));
  await qmp.command("qmp_capabilities");
  return { child, exited, qmp, runDir };
}

async function connectWhenThere(socketPath: string, child: ChildProcess): Promise<net.Socket> {
  for (;;) {
    const socket = net.connect(socketPath);
    const isConnected = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    });
    if (isConnected) return socket;
    if (child.exitCode !== null) throw new Error(`QEMU exited with ${child.exitCode}`);
    await delay(RETRY_MS);
  }
}

interface Qmp {
  /** Resolves when QEMU has answered; commands are answered in order. */
  command(name: string, args?: Readonly<Record<string, unknown>>): Promise<void>;
  close(): void;
}

function openQmp(socket: net.Socket): Qmp {
  const waiting: PromiseWithResolvers<void>[] = [];
  let rest = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith('{"return"')) waiting.shift()?.resolve();
      else if (line.startsWith('{"error"')) waiting.shift()?.reject(new Error(line));
    }
  });
  socket.on("close", () => {
    for (const { reject } of waiting.splice(0)) reject(new Error("QEMU is gone"));
  });
  return {
    command(name, args = {}) {
      const pending = Promise.withResolvers<void>();
      waiting.push(pending);
      socket.write(`${JSON.stringify({ execute: name, arguments: args })}\n`);
      return pending.promise;
    },
    close: () => void socket.destroy(),
  };
}

/** QEMU closes its end when it has read the state, perhaps before it sees ours closed; what it made of it shows later. */
async function loadDevices({ runDir }: Guest, devices: string): Promise<void> {
  const socket = net.connect(vmmFiles(runDir).incoming);
  socket.on("error", () => undefined);
  socket.resume().end(readFileSync(devices));
  await new Promise((resolve) => socket.once("close", resolve));
}

/** Asks the application until it says 200. Attempts overlap, and the first good one wins. */
async function firstOk(address: string, port: number): Promise<void> {
  const deadline = AbortSignal.timeout(PATIENCE_MS);
  const attempts = new Set<net.Socket>();
  const answered = Promise.withResolvers<void>();
  const attempt = () => {
    const socket = net.connect({ host: address, port, signal: deadline });
    attempts.add(socket);
    socket.write(`GET / HTTP/1.1\r\nhost: ${address}\r\nconnection: close\r\n\r\n`);
    socket.once("data", (data) => {
      if (data.toString("latin1").startsWith("HTTP/1.1 200")) answered.resolve();
    });
    // A refusal is an early guest's; the next attempt may do better.
    socket.once("error", () => attempts.delete(socket));
  };
  attempt();
  const again = setInterval(attempt, ATTEMPT_MS);
  deadline.addEventListener("abort", () => answered.reject(deadline.reason), { once: true });
  await answered.promise.finally(() => clearInterval(again));
  for (const socket of attempts) socket.destroy();
}
