// The guest agent's own tests, run by cargo. Counts come from the summary lines cargo prints for each test program.

import path from "node:path";
import type { Outcome } from "./outcome.ts";
import { runProgram } from "./program.ts";

/** Runs the agent's tests and tells the result in one line. */
export async function runAgentTests(
  repository: string,
  write: (line: string) => void,
  signal: AbortSignal,
): Promise<Outcome> {
  const command = ["cargo", "test", "--locked", "--quiet"];
  const result = await runProgram(command, path.join(repository, "agent"), signal);
  const outcome = readCargoOutcome(result.output, result.isSuccess);
  const seconds = (result.durationMs / 1000).toFixed(1);
  write(
    `  ${outcome.failed === 0 ? "ok  " : "FAIL"} cargo test: ${outcome.passed} tests (${seconds} s)`,
  );
  return outcome;
}

/** Adds up cargo's summary lines. A run that failed without a failed test, as when it does not compile, is one failure. */
export function readCargoOutcome(output: string, isSuccess: boolean): Outcome {
  const summaries = [
    ...output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm),
  ];
  const sum = (group: number) =>
    summaries.reduce((total, summary) => total + Number(summary[group] ?? 0), 0);
  const failed = isSuccess ? sum(2) : Math.max(1, sum(2));
  const failures = failed === 0 ? [] : [{ name: "agent: cargo test", detail: output }];
  return { passed: sum(1), failed, skipped: sum(3), failures };
}
