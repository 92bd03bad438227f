// Lifecycle hooks of the application: where they are and how they are called.

import type { GuestClient } from "../guest/client.ts";
import type { HookResponse } from "../guest/protocol.ts";
import type { HookName } from "./host.ts";

const HOOK_PATH = "/aws/lambda-microvms/runtime/v1/";

/** The conventional port, for images that enable a hook without naming one. */
export const DEFAULT_HOOK_PORT = 9000;

/** Has the agent call the hook once on the guest's loopback. */
export function callHook(
  guest: GuestClient,
  call: { hook: HookName; port: number; body: string; timeoutMs: number },
  signal: AbortSignal,
): Promise<HookResponse> {
  const { port, body, timeoutMs } = call;
  return guest.hook({ port, path: HOOK_PATH + call.hook, body, timeoutMs }, signal);
}
