// Rotates the token keys of a running service, so that nobody has to.

import { type Clock, pause } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { InstallationTokens } from "./jwe-tokens.ts";
import { rotateTokenKeys } from "./keys.ts";

export interface RotationDeps {
  readonly tokens: Pick<InstallationTokens, "useKeys">;
  readonly clock: Clock;
  readonly log: Log;
}

const LOOK_EVERY_MS = 60 * 60 * 1000;

/** Rotates what is due now and every hour, until the signal aborts. A rotation that fails is tried again; the keys go on. */
export async function keepRotating(
  { tokens, clock, log }: RotationDeps,
  keysDirectory: string,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const keys = await rotateTokenKeys({ now: () => clock.now() }, keysDirectory);
      if (keys !== undefined) {
        tokens.useKeys(keys);
        log.info("Rotated the token keys", { keys: keys.length });
      }
    } catch (error) {
      log.error("Cannot rotate the token keys, going on with those in use", { error });
    }
    await pause(clock, LOOK_EVERY_MS, signal);
  }
}
