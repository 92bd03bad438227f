// boto3 in a process of its own, one call after the other.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { pythonWithClients } from "../../support/python.ts";
import type { ClientCall, ConformanceClient, Observed } from "./client.ts";
import { OPERATIONS } from "./operations.ts";

const SCRIPT = path.join(import.meta.dirname, "boto3_client.py");

const resultSchema = z.union([
  z.object({ failure: z.string() }),
  z.object({
    status: z.number(),
    headers: z.record(z.string(), z.string()),
    body: z.base64(),
    output: z.unknown().optional(),
    error: z.object({ name: z.string(), message: z.string() }).optional(),
  }),
]);

/** Starts the process. Calls must not overlap. */
export async function createBoto3Client(): Promise<ConformanceClient> {
  const child = spawn(await pythonWithClients(), [SCRIPT], {
    // Nothing of this machine's own AWS settings.
    env: { PATH: process.env["PATH"] ?? "", AWS_EC2_METADATA_DISABLED: "true" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async call(request) {
      child.stdin.write(`${JSON.stringify(asked(request))}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`boto3 ended with ${child.exitCode ?? child.signalCode}`);
      return observed(JSON.parse(value));
    },
    [Symbol.asyncDispose]: () => end(child),
  };
}

function asked({ operation, input, endpoint, region, key }: ClientCall): object {
  const { family } = OPERATIONS[operation];
  return { service: family, operation, input, endpoint, region, ...key };
}

function observed(raw: unknown): Observed {
  const result = resultSchema.parse(raw);
  if ("failure" in result) throw new Error(`boto3: ${result.failure}`);
  const { status, headers, body, output, error } = result;
  return {
    ...{ status, headers, body: Buffer.from(body, "base64").toString() },
    ...(output !== undefined && { output }),
    ...(error !== undefined && { error }),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.stdin?.end();
  await exited;
}
