// Notices the end of a running VMM that nobody asked for, and says why in words fit for a `stateReason`.

import { setTimeout as delay } from "node:timers/promises";
import { isServiceError } from "../errors.ts";
import type { AgentEvent } from "../guest/protocol.ts";
import type { VmmExit } from "../vmm/driver.ts";
import type { LaunchedVmm } from "./launch.ts";

/** Pause before asking a guest again whose event stream broke while its VMM lives on; doubled each time up to the longest. */
const RECONNECT_MS = 1000;
const LONGEST_RECONNECT_MS = 60_000;

/**
 * Calls `onEnded` once when the application or the VMM ends. Returns a function that stops watching; after it
 * was called `onEnded` never is.
 */
export function watchVmm(launched: LaunchedVmm, onEnded: (reason: string) => void): () => void {
  const stop = new AbortController();
  const endOnce = (reason: string) => {
    if (stop.signal.aborted) return;
    stop.abort();
    onEnded(reason);
  };
  void launched.vmm.exited.then((exit) => endOnce(vmmEndReason(exit)));
  void followGuest(launched, endOnce, stop.signal);
  return () => stop.abort();
}

async function followGuest(
  launched: LaunchedVmm,
  endOnce: (reason: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let pauseMs = RECONNECT_MS;
  while (!signal.aborted) {
    try {
      for await (const event of launched.guest.events(signal)) {
        if (event.status !== "running") endOnce(appEndReason(event));
      }
    } catch (error) {
      // A guest that does not answer is busy, suspended under us or gone; the last one the VMM's exit tells.
      if (!signal.aborted && !isServiceError(error)) throw error;
    }
    if (!signal.aborted) await delay(pauseMs, undefined, { ref: false });
    pauseMs = Math.min(pauseMs * 2, LONGEST_RECONNECT_MS);
  }
}

/** Why the application ended, for example `The application exited with code 3. Last output: …`. */
export function appEndReason(event: Exclude<AgentEvent, { status: "running" }>): string {
  if (event.status === "failed") return `The application could not be started: ${event.reason}`;
  const how =
    event.exitCode !== null
      ? `exited with code ${event.exitCode}`
      : `was ended by signal ${event.signal}`;
  const output = event.lastOutput.trim();
  return `The application ${how}.${output === "" ? "" : ` Last output: ${output}`}`;
}

function vmmEndReason(exit: VmmExit): string {
  const how =
    exit.signal !== null
      ? ` (ended by ${exit.signal})`
      : exit.exitCode !== null && exit.exitCode !== 0
        ? ` (exit code ${exit.exitCode})`
        : "";
  const detail = exit.stderrTail === "" ? "" : `: ${exit.stderrTail.split("\n").at(-1)}`;
  return `The virtual machine ended unexpectedly${how}${detail}`;
}
