// How shells end.

import { CLOSE } from "./websocket-frames.ts";

/** Why a session ends, as the client is told. */
export interface End {
  readonly code: number;
  readonly reason: string;
}

/** The shell ended by itself; its status is told to nobody. */
export const EXITED: End = { code: CLOSE.normal, reason: "shell exited" };
/** There is nothing to come back to. */
export const TERMINATED: End = { code: CLOSE.goingAway, reason: "microVM terminated" };
/** The guest runs, but has the session no more. */
export const LOST: End = { code: CLOSE.failed, reason: "shell lost" };
