// Which accelerator this host can really use. /dev/kvm proves nothing: there are hosts where it opens and makes a
// virtual machine in which an ordinary kernel never starts. So the guest kernel is booted under KVM once, with a short
// deadline, and the answer is kept until the machine, QEMU or the kernel changes.

import { spawn } from "node:child_process";
import { access, constants, readFile, realpath } from "node:fs/promises";
import { z } from "zod";
import { hasErrorCode } from "../../errors.ts";
import { writeFileDurably } from "../../lib/files.ts";
import type { Accelerator } from "../driver.ts";
import { newHardware, QEMU_PROGRAM } from "./args.ts";

export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  /** In words for `torpor doctor`. */
  readonly reason: string;
}

export interface ProbeRequest {
  readonly wanted: "auto" | Accelerator;
  readonly qemuVersion: string;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** Where the answer is remembered. */
  readonly cachePath: string;
  /** Called before a probe, which takes its time. */
  readonly onProbe?: () => void;
}

/** A kernel boots in under a second under working KVM; nested inside emulation it takes some twenty. */
const PROBE_TIMEOUT_MS = 30_000;
/** What the guest's kernel prints when it hands over to the first program: memory, interrupts and timers work by then. */
const BOOTED = "Run /init as init process";
/** What QEMU prints when KVM gave up on the guest; it would then wait, paused, for a debugger. */
const GAVE_UP = "KVM internal error";
const OUTPUT_LIMIT = 256 * 1024;

const cacheSchema = z.object({
  key: z.string(),
  accelerator: z.enum(["kvm", "tcg"]),
  reason: z.string(),
});

/** Decides between KVM and emulation; probes only when `auto` is wanted and no remembered answer fits. */
export async function chooseAccelerator(
  request: ProbeRequest,
  signal: AbortSignal,
): Promise<AcceleratorChoice> {
  if (request.wanted !== "auto") {
    return { accelerator: request.wanted, reason: "set in the configuration" };
  }
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT", "EACCES", "EPERM")) throw error;
    return { accelerator: "tcg", reason: "there is no usable /dev/kvm" };
  }
  const key = await cacheKey(request);
  const remembered = await readCache(request.cachePath);
  if (remembered?.key === key) return remembered;
  request.onProbe?.();
  const choice = await probeKvm(request, signal);
  await writeFileDurably(request.cachePath, JSON.stringify({ key, ...choice }));
  return choice;
}

async function probeKvm(request: ProbeRequest, signal: AbortSignal): Promise<AcceleratorChoice> {
  const { cpuModel, machine } = newHardware(request.qemuVersion, "kvm", {
    memoryMiB: 256,
    vcpus: 1,
  });
  const args = [
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "none"],
    ...["-machine", `${machine},graphics=off`, "-accel", "kvm", "-cpu", cpuModel, "-m", "256M"],
    ...["-kernel", request.kernelPath, "-initrd", request.initramfsPath],
    ...["-append", "console=ttyS0 loglevel=7 panic=-1 reboot=t"],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
  ];
  const limit = AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]);
  const output = await runUntil(args, [BOOTED, GAVE_UP], limit);
  signal.throwIfAborted();
  if (output.includes(BOOTED))
    return { accelerator: "kvm", reason: "the guest kernel boots under /dev/kvm" };
  const detail = output.includes(GAVE_UP)
    ? GAVE_UP
    : (output.trim().split("\n").at(-1)?.slice(0, 200) ?? "");
  return {
    accelerator: "tcg",
    reason: `/dev/kvm is there, but the guest kernel does not boot under it: ${detail || "it prints nothing"}`,
  };
}

/** Runs QEMU until its output contains one of `markers`, it ends, or the signal aborts; then ends it. */
async function runUntil(
  args: readonly string[],
  markers: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const child = spawn(QEMU_PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const ended = Promise.withResolvers<void>();
  const stop = () => child.kill("SIGKILL");
  const onChunk = (chunk: string) => {
    output = (output + chunk).slice(-OUTPUT_LIMIT);
    if (markers.some((marker) => output.includes(marker))) stop();
  };
  child.stdout.setEncoding("utf8").on("data", onChunk);
  child.stderr.setEncoding("utf8").on("data", onChunk);
  child.on("close", () => ended.resolve());
  child.on("error", () => ended.resolve());
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  await ended.promise;
  signal.removeEventListener("abort", stop);
  return output;
}

async function cacheKey(request: ProbeRequest): Promise<string> {
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  return `${bootId} ${request.qemuVersion} ${await realpath(request.kernelPath)}`;
}

async function readCache(cachePath: string): Promise<z.output<typeof cacheSchema> | undefined> {
  try {
    const parsed = cacheSchema.safeParse(JSON.parse(await readFile(cachePath, "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT") || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
