// Runtime hooks of a microVM: whether one is enabled, where, and how its failure is worded.

import { isServiceError } from "../errors.ts";
import type { Hooks } from "../images/records.ts";

export type RuntimeHook = "run" | "resume" | "suspend" | "terminate";

export interface HookSettings {
  readonly port: number;
  readonly timeoutMs: number;
}

/** The conventional port, for images that enable a hook without naming one. */
const DEFAULT_PORT = 9000;
const DEFAULT_TIMEOUT_SECONDS = 1;

/** How to call the hook; undefined when the image does not enable it. */
export function hookSettings(hooks: Hooks | null, hook: RuntimeHook): HookSettings | undefined {
  const given = hooks?.microvmHooks;
  if (given?.[hook] !== "ENABLED") return undefined;
  const seconds = given[`${hook}TimeoutInSeconds`] ?? DEFAULT_TIMEOUT_SECONDS;
  return { port: hooks?.port ?? DEFAULT_PORT, timeoutMs: seconds * 1000 };
}

/** Body of the `/run` call; the other runtime hooks have none. */
export function runHookBody(microvmId: string, runHookPayload: string | null): string {
  return JSON.stringify(runHookPayload === null ? { microvmId } : { microvmId, runHookPayload });
}

/** A failed hook as `stateReason` says it. */
export function hookFailureReason(hook: RuntimeHook, timeoutMs: number, error: unknown): string {
  const name = `${hook.charAt(0).toUpperCase()}${hook.slice(1)} lifecycle hook`;
  const advice = "Please check your hook endpoint and application logs for more details.";
  const details = isServiceError(error) ? error.details : {};
  if (typeof details["status"] === "number")
    return `${name} returned HTTP status ${details["status"]}. ${advice}`;
  if (details["outcome"] === "timeout")
    return `${name} timed out after PT${timeoutMs / 1000}S. ${advice}`;
  return `${name} could not be called. ${advice}`;
}
