// How results are shown and kept: a table on standard output, a JSON file beside the others of earlier runs.

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { MachineFacts } from "./machine.ts";
import { judge, type Judged, type Measure, type Unit } from "./measure.ts";

export interface BenchResult {
  readonly name: string;
  readonly rounds: number;
  /** Of the VMs in it, if there are any. */
  readonly accelerator?: string;
  /** What the floor is, where it is not torpor's own minimum. */
  readonly floorName?: string;
  readonly measures: readonly Measure[];
}

const HEADINGS = ["measure", "median", "p95", "max", "unit", "floor", "ratio", "expected", "met"];

/** The result as a table in Markdown, which reads as well on a terminal. */
export function renderTable({ measures, floorName = "floor" }: BenchResult): string {
  const headings = HEADINGS.map((heading) => (heading === "floor" ? floorName : heading));
  const rows = [headings, ...measures.map((measure) => cells(judge(measure)))];
  const widths = HEADINGS.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => pad(cell, column, widths[column] ?? 0)).join(" | ")} |`;
  const [first = [], ...body] = rows;
  const rule = widths.map((width, column) =>
    isNumeric(column) ? `${"-".repeat(width - 1)}:` : "-".repeat(width),
  );
  return [line(first), `| ${rule.join(" | ")} |`, ...body.map(line)].join("\n");
}

/** One line for each expectation that is missed. */
export function missed({ measures }: BenchResult): string[] {
  return measures
    .map((measure) => judge(measure))
    .filter(({ isMet }) => isMet === false)
    .map(({ measure, summary }) => {
      const figure = measure.expectation?.figure ?? "median";
      const value = format(summary[figure], measure.unit);
      return `${measure.name}: ${figure} ${value} ${measure.unit}, expected ${measure.expectation?.text ?? ""}`;
    });
}

/** Writes the result with every sample to `directory` and returns the file's path. */
export async function saveResult(
  directory: string,
  result: BenchResult,
  machine: MachineFacts,
  startedAt: Date,
): Promise<string> {
  const judged = result.measures.map((measure) => judge(measure));
  const content = {
    ...{ bench: result.name, startedAt: startedAt.toISOString(), rounds: result.rounds },
    machine: { ...machine, accelerator: result.accelerator ?? null },
    measures: judged.map(({ measure, summary, floor, ratio, isMet }) => ({
      ...{ name: measure.name, unit: measure.unit, ...summary },
      ...{ floor: floor ?? null, ratio: ratio ?? null },
      ...{ expected: measure.expectation?.text ?? null, isMet: isMet ?? null },
      ...{ samples: measure.samples, floorSamples: measure.floor ?? null },
    })),
  };
  await mkdir(directory, { recursive: true });
  const stamp = content.startedAt.replaceAll(":", "-").replace(/\.\d+Z$/, "Z");
  const file = path.join(directory, `${result.name}-${stamp}.json`);
  await writeFile(file, `${JSON.stringify(content, null, 2)}\n`);
  return file;
}

function cells({ measure, summary, floor, ratio, isMet }: Judged): string[] {
  const { unit, expectation } = measure;
  return [
    measure.name,
    format(summary.median, unit),
    format(summary.p95, unit),
    format(summary.max, unit),
    unit,
    floor === undefined ? "" : format(floor.median, unit),
    ratio === undefined ? "" : ratio.toFixed(2),
    expectation === undefined ? "" : `${expectation.figure} ${expectation.text}`,
    isMet === undefined ? "" : isMet ? "yes" : "NO",
  ];
}

function format(value: number, unit: Unit): string {
  if (unit === "count") return String(value);
  if (unit === "req/s" || unit === "msg/s") return value.toFixed(0);
  return value.toFixed(value < 0.1 ? 3 : value < 10 ? 2 : 1);
}

function isNumeric(column: number): boolean {
  return ["median", "p95", "max", "floor", "ratio"].includes(HEADINGS[column] ?? "");
}

function pad(cell: string, column: number, width: number): string {
  return isNumeric(column) ? cell.padStart(width) : cell.padEnd(width);
}
