// Lifecycle hooks of the application (spec: section 5): where they are, how long they may take.

import type { GuestClient } from "../guest/client.ts";
import type { HookResponse } from "../guest/protocol.ts";
import type { Hooks } from "../images/records.ts";
import type { HookName } from "./host.ts";

const HOOK_PATH = "/aws/lambda-microvms/runtime/v1/";

// Published defaults disagree for the image hooks (spec: appendix A, 19): the longer ones are taken, because a
// time-out that is too short fails a build while one that is too long only delays a failure.
const DEFAULT_TIMEOUT_SECONDS: Record<HookName, number> = {
  ready: 60,
  validate: 30,
  run: 1,
  resume: 1,
  suspend: 1,
  terminate: 1,
};

/** How long this hook of this image may take, in milliseconds. */
export function hookTimeoutMs(hooks: Hooks | null, hook: HookName): number {
  const given = {
    ready: hooks?.microvmImageHooks?.readyTimeoutInSeconds,
    validate: hooks?.microvmImageHooks?.validateTimeoutInSeconds,
    run: hooks?.microvmHooks?.runTimeoutInSeconds,
    resume: hooks?.microvmHooks?.resumeTimeoutInSeconds,
    suspend: hooks?.microvmHooks?.suspendTimeoutInSeconds,
    terminate: hooks?.microvmHooks?.terminateTimeoutInSeconds,
  }[hook];
  return (given ?? DEFAULT_TIMEOUT_SECONDS[hook]) * 1000;
}

/** Has the agent call the hook once on the guest's loopback. */
export function callHook(
  guest: GuestClient,
  call: { hook: HookName; port: number; body: string; timeoutMs: number },
  signal: AbortSignal,
): Promise<HookResponse> {
  const { port, body, timeoutMs } = call;
  return guest.hook({ port, path: HOOK_PATH + call.hook, body, timeoutMs }, signal);
}
