// Runs the tests of one folder with Node's runner, each file in its own process, and tells each file as it ends.

import { globSync } from "node:fs";
import path from "node:path";
import { run } from "node:test";
import { inspect } from "node:util";
import type { Failure, Outcome } from "./outcome.ts";

export interface FolderPlan {
  /** Folder below `test/`. */
  readonly name: string;
  /** Files at once. */
  readonly concurrency: number;
  /** Longest time one file may take. */
  readonly fileTimeoutMs: number;
  /** Tells every test as it ends, for folders whose files take minutes. */
  readonly tellsTests: boolean;
}

/** Output of a file kept for when it fails, in characters. */
const OUTPUT_LIMIT = 16_000;
const REMINDER_MS = 30_000;

/** Runs every `*.test.ts` below the folder whose path contains one of `filters`; all when there are none. */
export async function runFolder(
  repository: string,
  plan: FolderPlan,
  options: { readonly filters: readonly string[]; readonly write: (line: string) => void },
  signal: AbortSignal,
): Promise<Outcome> {
  const { filters, write } = options;
  const files = globSync(`test/${plan.name}/**/*.test.ts`, { cwd: repository })
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort()
    .map((file) => path.join(repository, file));
  if (files.length === 0) {
    write("  no test files");
    return { passed: 0, failed: 0, skipped: 0, failures: [] };
  }
  const stream = run({
    files,
    concurrency: plan.concurrency,
    isolation: "process",
    timeout: plan.fileTimeoutMs,
    execArgv: ["--disable-warning=ExperimentalWarning"],
    signal,
  });
  const teller = createTeller(repository, plan, write);
  using stack = new DisposableStack();
  stack.use(repeat(REMINDER_MS, teller.remind));
  for await (const event of stream) teller.hear(event);
  signal.throwIfAborted();
  return teller.outcome();
}

type TestEvent = ReturnType<typeof run> extends AsyncIterable<infer Event> ? Event : never;

function createTeller(repository: string, plan: FolderPlan, write: (line: string) => void) {
  const relative = (file: string | undefined) =>
    file === undefined ? plan.name : path.relative(repository, file);
  const outputs = new Map<string, string>();
  const failures: Failure[] = [];
  const running = new Map<string, number>();
  let total: Outcome | undefined;
  const keepOutput = (file: string | undefined, message: string) => {
    const name = relative(file);
    outputs.set(name, ((outputs.get(name) ?? "") + message).slice(-OUTPUT_LIMIT));
  };
  return {
    hear(event: TestEvent) {
      switch (event.type) {
        case "test:stdout":
        case "test:stderr":
          keepOutput(event.data.file, event.data.message);
          break;
        case "test:dequeue":
          if (event.data.nesting === 0) running.set(relative(event.data.file), performance.now());
          break;
        case "test:pass":
          if (plan.tellsTests && event.data.details.type !== "suite") {
            write(`    ok   ${event.data.name} (${seconds(event.data.details.duration_ms)})`);
          }
          break;
        case "test:fail": {
          const { error } = event.data.details;
          // A suite or file that failed because of a test in it says nothing new.
          if (isFailureOfInnerTests(error)) break;
          write(`    FAIL ${event.data.name}`);
          failures.push({
            name: `${relative(event.data.file)}: ${event.data.name}`,
            detail: inspect(error.cause ?? error, { depth: 4 }),
          });
          break;
        }
        case "test:summary": {
          const { counts, success, duration_ms: durationMs, file } = event.data;
          if (file === undefined) {
            total = readCounts(counts, success);
            break;
          }
          running.delete(relative(file));
          const { passed, failed, skipped } = readCounts(counts, success);
          const tests = `${passed + failed + skipped} tests`;
          write(
            `  ${failed === 0 ? "ok  " : "FAIL"} ${relative(file)}: ${tests} (${seconds(durationMs)})`,
          );
          break;
        }
        default:
          break;
      }
    },
    /** Says what is still running, so that a long silence is not taken for a hang. */
    remind() {
      for (const [file, startedAt] of running) {
        write(`    … ${file} (${seconds(performance.now() - startedAt)} so far)`);
      }
    },
    outcome(): Outcome {
      if (total === undefined) throw new Error(`The test runner ended ${plan.name} without counts`);
      return { ...total, failures: withOutput(failures, outputs) };
    },
  };
}

function isFailureOfInnerTests(error: unknown): boolean {
  return error instanceof Error && "failureType" in error && error.failureType === "subtestsFailed";
}

interface Counts {
  readonly tests: number;
  readonly passed: number;
  readonly skipped: number;
  readonly todo: number;
}

/** What neither passed nor was left out has failed; a file that broke beside its tests counts as one failure. */
function readCounts({ tests, passed, skipped, todo }: Counts, isSuccess: boolean): Outcome {
  const notPassed = tests - passed - skipped - todo;
  const failed = isSuccess ? notPassed : Math.max(1, notPassed);
  return { passed, failed, skipped: skipped + todo, failures: [] };
}

function withOutput(failures: readonly Failure[], outputs: ReadonlyMap<string, string>) {
  return failures.map(({ name, detail }) => {
    const output = outputs.get(name.slice(0, name.indexOf(": "))) ?? "";
    return { name, detail: output === "" ? detail : `${detail}\noutput of the file:\n${output}` };
  });
}

function repeat(periodMs: number, action: () => void): Disposable {
  const timer = setInterval(action, periodMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
