// Runs a checking program to its end and keeps what it said; a failing one is an answer, not an error.

import { isServiceError } from "../../src/errors.ts";
import { runCommand } from "../../src/lib/command.ts";

export interface ProgramResult {
  readonly isSuccess: boolean;
  readonly output: string;
  readonly durationMs: number;
}

const OUTPUT_LIMIT = 200_000;

/** Resolves with standard output and error as they came, the last part when there is much. */
export async function runProgram(
  command: readonly string[],
  cwd: string,
  signal: AbortSignal,
): Promise<ProgramResult> {
  const [program = "", ...args] = command;
  const startedAt = performance.now();
  let output = "";
  const onOutput = (chunk: string) => {
    output = (output + chunk).slice(-OUTPUT_LIMIT);
  };
  try {
    await runCommand(program, args, { cwd, onOutput }, signal);
    return { isSuccess: true, output, durationMs: performance.now() - startedAt };
  } catch (error) {
    if (!isServiceError(error)) throw error;
    const told = output.trim() === "" ? error.message : output;
    return { isSuccess: false, output: told, durationMs: performance.now() - startedAt };
  }
}
