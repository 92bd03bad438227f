// When a freshly started application is ready for its snapshot (spec: sections 4.2 and 5): its `/ready` hook says so;
// without one, one of its ports answers, or it has been quiet for a while.

import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { ServiceError } from "../errors.ts";
import type { GuestClient } from "../guest/client.ts";
import type { Hooks } from "../images/records.ts";
import { callHook, DEFAULT_HOOK_PORT } from "./hooks.ts";

export interface ReadinessRequest {
  readonly hooks: Hooks | null;
  /** TCP ports the image exposes. */
  readonly exposedPorts: readonly number[];
  readonly vmmPid: number;
  readonly onLog: (line: string) => void;
}

/** The port an endpoint uses unless told otherwise (spec: section 7.1). */
const DEFAULT_PORT = 8080;
/** Pause between two looks: short beside any boot, long beside the cost of a look in an emulated guest. */
const POLL_MS = 500;
/** A `/ready` hook that is not there yet is asked again this often. */
const READY_POLL_MS = 1000;
/** Without a hook: how long the guest must neither compute nor print before it counts as settled. */
const QUIET_MS = 5000;
/** CPU time within QUIET_MS that still counts as quiet: timers and housekeeping, not start-up work. */
const QUIET_CPU_MS = 250;
/** Without a hook: when an application that never settles is snapshot as it is. */
const SETTLE_LIMIT_MS = 180_000;
/** Ticks a second of the times in `/proc/PID/stat`, fixed in the kernel's ABI. */
const TICKS_PER_SECOND = 100;

/** Resolves when the application is ready. Rejects BUILD_FAILED with the service's own words when it never is. */
export async function waitUntilReady(
  guest: GuestClient,
  request: ReadinessRequest,
  signal: AbortSignal,
): Promise<void> {
  const { hooks, onLog } = request;
  if (hooks?.microvmImageHooks?.ready === "ENABLED") {
    onLog(`waiting for the ready hook on port ${hooks.port ?? DEFAULT_HOOK_PORT}`);
    await pollImageHook(guest, "ready", hooks, signal);
    return;
  }
  const ports = request.exposedPorts.length > 0 ? request.exposedPorts : [DEFAULT_PORT];
  onLog(`no ready hook: waiting for port ${ports.join(" or ")}, or ${QUIET_MS / 1000} s of quiet`);
  onLog(await settle(guest, ports, request.vmmPid, signal));
}

/** Calls `/ready` or `/validate` until it answers 200; 503 and a port nobody listens on yet mean "not yet". */
export async function pollImageHook(
  guest: GuestClient,
  hook: "ready" | "validate",
  hooks: Hooks,
  signal: AbortSignal,
): Promise<void> {
  const port = hooks.port ?? DEFAULT_HOOK_PORT;
  const timeoutMs = imageHookTimeoutMs(hooks, hook);
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const remaining = deadline - performance.now();
    if (remaining <= 0) throw hookTimedOut(hook, timeoutMs);
    const answer = await callHook(guest, { hook, port, body: "", timeoutMs: remaining }, signal);
    if (answer.outcome === "answered") {
      if (answer.status === 200) return;
      if (answer.status !== 503) throw hookRefused(hook, answer.status);
    }
    await delay(Math.min(READY_POLL_MS, Math.max(0, remaining)), undefined, { signal });
  }
}

// Published defaults disagree (spec: appendix A, 19): the longer ones are taken, because a time-out that is too short
// fails a build while one that is too long only delays a failure.
function imageHookTimeoutMs(hooks: Hooks, hook: "ready" | "validate"): number {
  const given = hooks.microvmImageHooks;
  return (
    (hook === "ready"
      ? (given?.readyTimeoutInSeconds ?? 60)
      : (given?.validateTimeoutInSeconds ?? 30)) * 1000
  );
}

async function settle(
  guest: GuestClient,
  ports: readonly number[],
  vmmPid: number,
  signal: AbortSignal,
): Promise<string> {
  const began = performance.now();
  let quietSince = began;
  let cpuAtQuiet = await cpuMs(vmmPid);
  let printed = 0;
  while (performance.now() - began < SETTLE_LIMIT_MS) {
    for (const port of ports) {
      if (await guest.listening(port, signal)) return `port ${port} answers`;
    }
    const logs = await guest.logs(printed, signal);
    const cpu = await cpuMs(vmmPid);
    if (logs.next > printed || cpu - cpuAtQuiet > QUIET_CPU_MS) {
      quietSince = performance.now();
      cpuAtQuiet = cpu;
      printed = logs.next;
    } else if (performance.now() - quietSince >= QUIET_MS) {
      return "the application is quiet";
    }
    await delay(POLL_MS, undefined, { signal });
  }
  return `the application neither listens nor rests after ${SETTLE_LIMIT_MS / 1000} s: taking the snapshot as it is`;
}

/** CPU time the VMM process has used, in milliseconds: fields 14 and 15 of its stat file. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

function hookTimedOut(hook: "ready" | "validate", timeoutMs: number): ServiceError {
  const name = hook === "ready" ? "Ready" : "Validate";
  return new ServiceError(
    "BUILD_FAILED",
    `${name} hook invocation timed out after ${isoDuration(timeoutMs / 1000)}`,
  );
}

function hookRefused(hook: "ready" | "validate", status: number): ServiceError {
  const name = hook === "ready" ? "Ready" : "Validate";
  const kind = status >= 400 && status < 500 ? "client error (HTTP 4xx)" : "server error";
  const detail =
    status >= 400 && status < 500
      ? `the application returned a ${kind} response.`
      : `the application returned HTTP status ${status}.`;
  return new ServiceError("BUILD_FAILED", `${name} hook check failed: ${detail}`, {
    details: { status },
  });
}

/** Whole seconds in the ISO 8601 form that the service uses, for example `PT5M` or `PT1M30S`. */
export function isoDuration(seconds: number): string {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = seconds % 60;
  const parts = [
    hours > 0 ? `${hours}H` : "",
    minutes > 0 ? `${minutes}M` : "",
    rest > 0 || seconds === 0 ? `${rest}S` : "",
  ];
  return `PT${parts.join("")}`;
}
