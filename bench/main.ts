// `npm run bench -- [name...] [--rounds N]`: runs the benches named, or all. Benches inform and tests decide, so a missed
// expectation is said but does not fail the command.

import path from "node:path";
import { parseArgs } from "node:util";
import { REPOSITORY } from "../scripts/walkthrough/service.ts";
import { benchApi } from "./api.ts";
import { machineFacts, type MachineFacts } from "./machine.ts";
import { benchIngress } from "./ingress.ts";
import { benchMicrovm } from "./microvm.ts";
import { type BenchResult, missed, renderTable, saveResult } from "./report.ts";

type Bench = (rounds: number, say: (line: string) => void) => Promise<BenchResult>;

interface RegisteredBench {
  readonly run: Bench;
  readonly defaultRounds: number;
}

const BENCHES: Readonly<Record<string, RegisteredBench>> = {
  microvm: { run: benchMicrovm, defaultRounds: 20 },
  api: { run: benchApi, defaultRounds: 10 },
  ingress: { run: benchIngress, defaultRounds: 5 },
};
const USAGE = `Usage: npm run bench -- [${Object.keys(BENCHES).join("|")}]... [--rounds N]`;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function runBench(name: string, bench: Bench, rounds: number): Promise<void> {
  const startedAt = new Date();
  const machine = machineFacts();
  const result = await bench(rounds, (line) => say(`${name}: ${line}`));
  const file = await saveResult(path.join(REPOSITORY, "bench-results"), result, machine, startedAt);
  say(`\n${describe(machine, result)}\n\n${renderTable(result)}\n`);
  const misses = missed(result);
  if (misses.length === 0) say("Every expectation is met.");
  for (const miss of misses) say(`NOT MET  ${miss}`);
  say(`Samples: ${path.relative(process.cwd(), file)}`);
}

function describe(machine: MachineFacts, { rounds, accelerator }: BenchResult): string {
  const { cpu, cores, memoryMiB, distribution, kernel, qemu, node, loadAverage } = machine;
  const vms = accelerator === undefined ? "no VMs" : `${qemu}, accelerator ${accelerator}`;
  return [
    `${rounds} rounds on ${cpu}, ${cores} cores, ${(memoryMiB / 1024).toFixed(0)} GiB; ${distribution}, Linux ${kernel}`,
    `${vms}; Node ${node}; load before: ${loadAverage.toFixed(2)}`,
  ].join("\n");
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: "string" } },
  });
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  const names = positionals.length > 0 ? positionals : Object.keys(BENCHES);
  const isBadNumber = rounds !== undefined && (!Number.isInteger(rounds) || rounds < 1);
  if (isBadNumber || names.some((name) => !BENCHES[name])) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  for (const name of names) {
    const bench = BENCHES[name];
    if (bench !== undefined) await runBench(name, bench.run, rounds ?? bench.defaultRounds);
  }
  return 0;
}

process.exitCode = await main();
