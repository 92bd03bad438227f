// The checks that read the code without running it. Each counts as one test.

import path from "node:path";
import type { Outcome } from "./outcome.ts";
import { runProgram } from "./program.ts";

interface CheckStep {
  readonly name: string;
  readonly command: readonly string[];
  /** Folder the command runs in, relative to the repository. */
  readonly directory: string;
  /** What to type when it fails for something that can be mended by a command. */
  readonly mend?: string;
}

const CHECKS: readonly CheckStep[] = [
  {
    name: "format",
    command: ["prettier", "--check", "--log-level=warn", "."],
    directory: ".",
    mend: "npx prettier --write .",
  },
  { name: "types", command: ["tsc", "--noEmit", "--pretty", "false"], directory: "." },
  { name: "lint", command: ["eslint", "--max-warnings=0", "."], directory: "." },
  {
    name: "import boundaries",
    command: ["depcruise", "src", "--config", ".dependency-cruiser.cjs"],
    directory: ".",
  },
  {
    name: "agent format",
    command: ["cargo", "fmt", "--check"],
    directory: "agent",
    mend: "cd agent && cargo fmt; if cargo has no fmt: rustup component add rustfmt",
  },
  {
    name: "agent lint",
    command: ["cargo", "clippy", "--locked", "--all-targets", "--quiet", "--", "-D", "warnings"],
    directory: "agent",
    mend: "if cargo has no clippy: rustup component add clippy",
  },
];

/** Runs all checks, one after the other, and tells each as it ends. */
export async function runChecks(
  repository: string,
  write: (line: string) => void,
  signal: AbortSignal,
): Promise<Outcome> {
  const failures = [];
  for (const { name, command, directory, mend } of CHECKS) {
    const result = await runProgram(command, path.join(repository, directory), signal);
    const seconds = (result.durationMs / 1000).toFixed(1);
    write(`  ${result.isSuccess ? "ok  " : "FAIL"} ${name} (${seconds} s)`);
    if (result.isSuccess) continue;
    const advice = mend === undefined ? "" : `\n→ ${mend}`;
    failures.push({
      name: `check: ${name}`,
      detail: `${command.join(" ")}\n${result.output}${advice}`,
    });
  }
  const failed = failures.length;
  return { passed: CHECKS.length - failed, failed, skipped: 0, failures };
}
