// Runs the tests of one folder with Node's runner, each file in a process of its own, and tells each file as it ends.

import { globSync } from "node:fs";
import path from "node:path";
import { run } from "node:test";
import { inspect } from "node:util";
import { type Failure, type Outcome, sumOutcomes } from "./outcome.ts";

export interface FolderPlan {
  /** Folder below `test/`. */
  readonly name: string;
  /** Files at once. */
  readonly concurrency: number;
  /** Longest time one file may take; then its process is ended and the file has failed. */
  readonly fileTimeoutMs: number;
  /** Tells every test as it ends, for folders whose files take minutes. */
  readonly tellsTests: boolean;
}

interface FileContext {
  readonly repository: string;
  readonly plan: FolderPlan;
  readonly write: (line: string) => void;
}

/** Output of a file kept for when it fails, in characters. */
const OUTPUT_LIMIT = 16_000;
const REMINDER_MS = 30_000;
/** Diagnostics that only repeat the summary; the others tell of errors outside any test. */
const COUNT = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

/** Runs every `*.test.ts` below the folder whose path contains one of `filters`; all when there are none. */
export async function runFolder(
  repository: string,
  plan: FolderPlan,
  options: { readonly filters: readonly string[]; readonly write: (line: string) => void },
  signal: AbortSignal,
): Promise<Outcome> {
  const { filters, write } = options;
  const waiting = globSync(`test/${plan.name}/**/*.test.ts`, { cwd: repository })
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort();
  if (waiting.length === 0) write("  no test files");
  const outcomes: Outcome[] = [];
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      signal.throwIfAborted();
      outcomes.push(await runFile({ repository, plan, write }, file, signal));
    }
  };
  await Promise.all(Array.from({ length: plan.concurrency }, work));
  signal.throwIfAborted();
  return sumOutcomes(outcomes);
}

type TestEvent = ReturnType<typeof run> extends AsyncIterable<infer Event> ? Event : never;

/** What the events of one file have told. */
interface FileRecord {
  output: string;
  failures: Failure[];
  counted: Outcome | undefined;
}

async function runFile(
  { repository, plan, write }: FileContext,
  file: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const startedAt = performance.now();
  const elapsed = () => seconds(performance.now() - startedAt);
  const deadline = AbortSignal.timeout(plan.fileTimeoutMs);
  const record: FileRecord = { output: "", failures: [], counted: undefined };
  using stack = new DisposableStack();
  const reminder = setInterval(() => write(`    … ${file} (${elapsed()} so far)`), REMINDER_MS);
  stack.defer(() => clearInterval(reminder));
  const stream = run({
    files: [path.join(repository, file)],
    isolation: "process",
    execArgv: ["--disable-warning=ExperimentalWarning"],
    signal: AbortSignal.any([signal, deadline]),
  });
  for await (const event of stream) hear(record, event, { file, plan, write });
  if (deadline.aborted) {
    const detail = `The file did not end within ${seconds(plan.fileTimeoutMs)} and was ended`;
    record.failures = [{ name: file, detail }];
  }
  const outcome = closeFile(record, file);
  const tests = `${outcome.passed + outcome.failed + outcome.skipped} tests`;
  write(`  ${outcome.failed === 0 ? "ok  " : "FAIL"} ${file}: ${tests} (${elapsed()})`);
  return outcome;
}

function hear(
  record: FileRecord,
  event: TestEvent,
  { file, plan, write }: Pick<FileContext, "plan" | "write"> & { readonly file: string },
): void {
  switch (event.type) {
    case "test:stdout":
    case "test:stderr":
      keepOutput(record, event.data.message);
      break;
    case "test:diagnostic":
      if (!COUNT.test(event.data.message)) keepOutput(record, `${event.data.message}\n`);
      break;
    case "test:pass":
      if (event.data.name.endsWith(file)) {
        // Node passes a file in which no test was registered.
        record.failures.push({ name: file, detail: "The file has no tests" });
        break;
      }
      if (plan.tellsTests && event.data.details.type !== "suite") {
        write(`    ok   ${event.data.name} (${seconds(event.data.details.duration_ms)})`);
      }
      break;
    case "test:fail": {
      const { error } = event.data.details;
      // A suite or file that failed because of a test in it says nothing new.
      if (isFailureOfInnerTests(error)) break;
      const isFile = event.data.name.endsWith(file);
      if (!isFile) write(`    FAIL ${event.data.name}`);
      record.failures.push({
        name: isFile ? file : `${file}: ${event.data.name}`,
        detail: inspect(error.cause instanceof Error ? error.cause : error, { depth: 4 }),
      });
      break;
    }
    case "test:summary":
      // The last one, which names no file, counts the file itself when it broke beside its tests.
      if (event.data.file === undefined) record.counted = readCounts(event.data.counts);
      break;
    default:
      break;
  }
}

function keepOutput(record: FileRecord, text: string): void {
  record.output = (record.output + text).slice(-OUTPUT_LIMIT);
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

/** What neither passed nor was left out has failed, so that a cancelled test is a failed one. */
function readCounts({ tests, passed, skipped, todo }: Counts): Outcome {
  return { passed, failed: tests - passed - skipped - todo, skipped: skipped + todo, failures: [] };
}

function closeFile({ output, failures, counted }: FileRecord, file: string): Outcome {
  const { passed, failed, skipped } = counted ?? { passed: 0, failed: 0, skipped: 0 };
  const told = failures.length > 0 || failed === 0 ? failures : [{ name: file, detail: "failed" }];
  const withOutput = told.map(({ name, detail }) => ({
    name,
    detail: output === "" ? detail : `${detail}\noutput of the file:\n${output}`,
  }));
  return {
    passed,
    failed: Math.max(failed, told.length > 0 ? 1 : 0),
    skipped,
    failures: withOutput,
  };
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
