// When a freshly started application is ready for its snapshot: its `/ready` hook says so;
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

/** The port an endpoint uses unless told otherwise. */
const DEFAULT_PORT = 8080;
/** A `/ready` hook that is not there yet is asked again this often. */
const READY_POLL_MS = 1000;
/** Without a hook: the application is watched in windows of this length, in which nothing is asked of it. */
const WINDOW_MS = 1000;
/** Use of a CPU that still counts as rest: timers and housekeeping, not start-up work. */
const QUIET_CPU_SHARE = 0.1;
/** Windows of rest, and of silence in the log, after which an application that does not listen counts as settled. */
const QUIET_WINDOWS = 5;
/** Exposed ports that are looked at; each look costs a call to the guest. */
const WATCHED_PORTS = 16;
/** Windows that an application may be busy although it listens. */
const LISTENING_WINDOWS = 30;
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
  onLog(
    `no ready hook: waiting for port ${ports.join(" or ")}, or ${(QUIET_WINDOWS * WINDOW_MS) / 1000} s of quiet`,
  );
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
    const remaining = Math.ceil(deadline - performance.now());
    if (remaining <= 0) throw hookTimedOut(hook, timeoutMs);
    const answer = await callHook(guest, { hook, port, body: "", timeoutMs: remaining }, signal);
    if (answer.outcome === "answered") {
      if (answer.status === 200) return;
      if (answer.status !== 503) throw hookRefused(hook, answer.status);
    }
    await delay(Math.min(READY_POLL_MS, Math.max(0, remaining)), undefined, { signal });
  }
}

// Published defaults disagree: the longer ones are taken, because a time-out that is too short
// fails a build while one that is too long only delays a failure.
function imageHookTimeoutMs(hooks: Hooks, hook: "ready" | "validate"): number {
  const given = hooks.microvmImageHooks;
  return (
    (hook === "ready"
      ? (given?.readyTimeoutInSeconds ?? 60)
      : (given?.validateTimeoutInSeconds ?? 30)) * 1000
  );
}

/**
 * A port that is listened on is not yet an application that answers: servers bind first and load afterwards. Asking it
 * something would change its state, so what counts is that it then also rests.
 */
async function settle(
  guest: GuestClient,
  ports: readonly number[],
  vmmPid: number,
  signal: AbortSignal,
): Promise<string> {
  const began = performance.now();
  let quietWindows = 0;
  let busyWhileListening = 0;
  let printed = 0;
  while (performance.now() - began < SETTLE_LIMIT_MS) {
    const open = await firstListening(guest, ports, signal);
    const { next } = await guest.logs(printed, signal);
    const isQuiet = next === printed && (await cpuShare(vmmPid, signal)) < QUIET_CPU_SHARE;
    printed = next;
    quietWindows = isQuiet ? quietWindows + 1 : 0;
    if (open !== undefined && isQuiet) return `port ${open} answers`;
    if (open !== undefined && ++busyWhileListening >= LISTENING_WINDOWS) {
      return `port ${open} answers, though the application does not rest`;
    }
    if (quietWindows >= QUIET_WINDOWS) return "the application is quiet";
  }
  return `the application neither listens nor rests after ${SETTLE_LIMIT_MS / 1000} s: taking the snapshot as it is`;
}

async function firstListening(
  guest: GuestClient,
  ports: readonly number[],
  signal: AbortSignal,
): Promise<number | undefined> {
  for (const port of ports.slice(0, WATCHED_PORTS)) {
    if (await guest.listening(port, signal)) return port;
  }
  return undefined;
}

/** Share of one CPU that the VMM uses during the next window, in which the guest is left alone. */
async function cpuShare(pid: number, signal: AbortSignal): Promise<number> {
  const before = await cpuMs(pid);
  await delay(WINDOW_MS, undefined, { signal });
  return ((await cpuMs(pid)) - before) / WINDOW_MS;
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
