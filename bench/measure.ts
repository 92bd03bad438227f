// One thing a bench measures: its samples, what they are compared with, and what is expected of them.

import { summarize, type Summary } from "./statistics.ts";

export type Unit = "ms" | "MiB" | "count" | "req/s" | "msg/s" | "MiB/s";

export interface Measure {
  readonly name: string;
  readonly unit: Unit;
  readonly samples: readonly number[];
  /** Samples of the same thing done by hand, without the service. */
  readonly floor?: readonly number[];
  readonly expectation?: Expectation;
}

export interface Expectation {
  /** In words, for the table. */
  readonly text: string;
  /** Which figure of the samples it speaks of. */
  readonly figure: "median" | "max";
  /** The limit, from the floor's median where it depends on it. */
  readonly limit: number | { readonly timesFloor: number };
  /** More is better: the figure is to reach the limit instead of staying below it. */
  readonly isLeast?: boolean;
}

export interface Judged {
  readonly measure: Measure;
  readonly summary: Summary;
  readonly floor: Summary | undefined;
  /** Median to median. */
  readonly ratio: number | undefined;
  readonly isMet: boolean | undefined;
}

/** Compares a measure with its floor and its expectation. */
export function judge(measure: Measure): Judged {
  const summary = summarize(measure.samples);
  const floor = measure.floor === undefined ? undefined : summarize(measure.floor);
  const ratio = floor === undefined ? undefined : summary.median / floor.median;
  return { measure, summary, floor, ratio, isMet: isMet(measure.expectation, summary, floor) };
}

function isMet(
  expectation: Expectation | undefined,
  summary: Summary,
  floor: Summary | undefined,
): boolean | undefined {
  if (expectation === undefined) return undefined;
  const { limit, figure, isLeast = false } = expectation;
  if (typeof limit !== "number" && floor === undefined) return undefined;
  const bound = typeof limit === "number" ? limit : limit.timesFloor * (floor?.median ?? NaN);
  return isLeast ? summary[figure] >= bound : summary[figure] <= bound;
}
