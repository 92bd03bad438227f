// What the guest may answer, as schemas: a guest runs the user's code as root and is not believed unseen.

import { z } from "zod";
import type { AgentEvent, ExecResponse, HookResponse } from "./protocol.ts";

/** Start of a base64 text that decodes to 1 MiB, padding included, and no more. */
const STREAM_BASE64_LIMIT = Math.ceil((1024 * 1024) / 3) * 4;
/** The agent sends the last 4096 bytes of output, which may decode to as many replacement characters. */
const LAST_OUTPUT_LIMIT = 4096;
const REASON_LIMIT = 4096;

const exitCode = z.int().min(0).max(255).nullable();
const signalNumber = z.int().min(1).max(64).nullable();

/** A line of `GET /v1/events`. */
export const agentEvent: z.ZodType<AgentEvent> = z.discriminatedUnion("status", [
  z.object({ status: z.literal("running"), pid: z.int().positive() }),
  z.object({
    status: z.literal("exited"),
    exitCode,
    signal: signalNumber,
    lastOutput: z.string().max(LAST_OUTPUT_LIMIT),
  }),
  z.object({ status: z.literal("failed"), reason: z.string().max(REASON_LIMIT) }),
]);

export const hookResponse: z.ZodType<HookResponse> = z.discriminatedUnion("outcome", [
  z.object({ outcome: z.literal("answered"), status: z.int().min(100).max(999) }),
  z.object({ outcome: z.literal("timeout") }),
  z.object({ outcome: z.literal("refused"), reason: z.string().max(REASON_LIMIT) }),
]);

const stream = z.base64().max(STREAM_BASE64_LIMIT);

export const execResponse: z.ZodType<ExecResponse> = z.object({
  exitCode,
  signal: signalNumber,
  timedOut: z.boolean(),
  stdout: stream,
  stderr: stream,
  truncated: z.boolean(),
});

export const listeningResponse = z.object({ listening: z.boolean() });

export const errorResponse = z.object({ message: z.string().max(REASON_LIMIT) });
