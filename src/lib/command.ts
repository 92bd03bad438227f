// Runs other programs to their end: bounded output, killed on abort, the last stderr lines in the error.

import { spawn } from "node:child_process";
import { ServiceError, type ErrorCode } from "../errors.ts";

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Written to the program's standard input, which is then closed. */
  readonly input?: string;
  /** Called with output as it comes, stdout and stderr alike. */
  readonly onOutput?: (chunk: string) => void;
  /** Code of the error when the program fails; INTERNAL unless given. */
  readonly errorCode?: ErrorCode;
}

/** Longest standard output and error kept, in characters. */
const OUTPUT_LIMIT = 4 * 1024 * 1024;
const STDERR_TAIL = 2000;

/**
 * Runs `program` with `args` (no shell) and resolves with its standard output. Rejects with a ServiceError that
 * carries `exitCode`, `signal` and `stderrTail`; on abort kills the program's process group and rejects with the signal's reason.
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  const onAbort = () => killGroup(child.pid);
  signal.addEventListener("abort", onAbort, { once: true });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    if (stdout.length < OUTPUT_LIMIT) stdout += chunk;
    options.onOutput?.(chunk);
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr = (stderr + chunk).slice(-STDERR_TAIL);
    options.onOutput?.(chunk);
  });
  // A program that ends without reading its input is judged by its exit, not by the broken pipe.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  try {
    const { exitCode, exitSignal } = await new Promise<{
      exitCode: number | null;
      exitSignal: string | null;
    }>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, name) => resolve({ exitCode: code, exitSignal: name }));
    });
    signal.throwIfAborted();
    if (exitCode === 0) return stdout;
    const how = exitCode === null ? `ended by ${exitSignal}` : `exited with ${exitCode}`;
    throw new ServiceError(
      options.errorCode ?? "INTERNAL",
      `Command "${program}" ${how}: ${stderr.trim().slice(-500) || "no error output"}`,
      { details: { exitCode, signal: exitSignal, stderrTail: stderr } },
    );
  } catch (error) {
    if (error instanceof ServiceError || signal.aborted) throw error;
    throw new ServiceError(options.errorCode ?? "INTERNAL", `Cannot start "${program}"`, {
      cause: error,
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
