// Runs the programs that shape the network. Each does milliseconds of work, so one that lasts is stuck.

import { ServiceError } from "../errors.ts";
import { runCommand } from "../lib/command.ts";

/** Long enough for a machine under heavy load; a lease waits for at most five of them. */
const TOOL_TIMEOUT_MS = 15_000;

/** Runs `ip`, `nft` or `nsenter` with `input` and resolves with its output. Rejects INTERNAL. */
export async function runTool(
  program: "ip" | "nft" | "nsenter",
  args: readonly string[],
  input: string,
): Promise<string> {
  const deadline = AbortSignal.timeout(TOOL_TIMEOUT_MS);
  try {
    return await runCommand(program, args, { input }, deadline);
  } catch (error) {
    if (!deadline.aborted) throw error;
    throw new ServiceError(
      "INTERNAL",
      `Command "${program}" did not end within ${TOOL_TIMEOUT_MS} ms`,
      { cause: error },
    );
  }
}
