// All checks and tests, or the sections named as arguments; a further argument with a slash or dot picks test files by
// part of their path. Ends with one line `N passed, N failed`.

import path from "node:path";
import { runAgentTests } from "./runner/agent-tests.ts";
import { runChecks } from "./runner/checks.ts";
import { type FolderPlan, runFolder } from "./runner/node-tests.ts";
import { formatFailures, formatTotal, type Outcome, sumOutcomes } from "./runner/outcome.ts";

const REPOSITORY = path.resolve(import.meta.dirname, "..");

const FOLDERS: readonly FolderPlan[] = [
  { name: "unit", concurrency: 2, fileTimeoutMs: 120_000, tellsTests: false },
  { name: "contract", concurrency: 2, fileTimeoutMs: 600_000, tellsTests: false },
  { name: "integration", concurrency: 2, fileTimeoutMs: 600_000, tellsTests: false },
  { name: "conformance", concurrency: 2, fileTimeoutMs: 600_000, tellsTests: false },
  // Real microVMs under emulation need both cores and all of the patience.
  { name: "e2e", concurrency: 1, fileTimeoutMs: 1_200_000, tellsTests: true },
];

type Section = (filters: readonly string[], signal: AbortSignal) => Promise<Outcome>;

const write = (line: string) => process.stdout.write(`${line}\n`);

const SECTIONS: Readonly<Record<string, Section>> = {
  check: (_filters, signal) => runChecks(REPOSITORY, write, signal),
  agent: (_filters, signal) => runAgentTests(REPOSITORY, write, signal),
  ...Object.fromEntries(
    FOLDERS.map((plan): [string, Section] => [
      plan.name,
      (filters, signal) => runFolder(REPOSITORY, plan, { filters, write }, signal),
    ]),
  ),
};

async function main(args: readonly string[], signal: AbortSignal): Promise<number> {
  const filters = args.filter((argument) => /[./]/.test(argument));
  const named = args.filter((argument) => !filters.includes(argument));
  const unknown = named.filter((name) => !Object.hasOwn(SECTIONS, name));
  if (unknown.length > 0) {
    write(`There is no section "${unknown.join('", "')}": ${Object.keys(SECTIONS).join(", ")}`);
    return 2;
  }
  const outcomes: Outcome[] = [];
  for (const [name, runSection] of Object.entries(SECTIONS)) {
    if (named.length > 0 && !named.includes(name)) continue;
    write(name);
    outcomes.push(await runSection(filters, signal));
  }
  const total = sumOutcomes(outcomes);
  if (total.failures.length > 0) write(`\nFailures\n\n${formatFailures(total.failures)}`);
  const isEmpty = total.passed + total.failed === 0;
  if (isEmpty) write("No test was found");
  write(formatTotal(total));
  return total.failed > 0 || isEmpty ? 1 : 0;
}

const interruption = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.once(name, () => interruption.abort(new Error(`Interrupted by ${name}`)));
}
process.exitCode = await main(process.argv.slice(2), interruption.signal);
