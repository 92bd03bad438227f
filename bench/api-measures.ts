// What the API bench asks and reports: its cases, and what is expected of them.

import type { Expectation, Measure } from "./measure.ts";
import type { Samples } from "./samples.ts";

export interface Case {
  readonly name: string;
  readonly operation: "GetMicrovm" | "ListMicrovms" | "CreateMicrovmAuthToken";
  /** MicroVMs that the store holds. */
  readonly records: 100 | 10_000;
  readonly status: number;
  /** Signed with a wrong secret. */
  readonly isRejected?: boolean;
}

export const CASES: readonly Case[] = [
  { name: "GetMicrovm of 100", operation: "GetMicrovm", records: 100, status: 200 },
  { name: "GetMicrovm of 10,000", operation: "GetMicrovm", records: 10_000, status: 200 },
  { name: "ListMicrovms of 100", operation: "ListMicrovms", records: 100, status: 200 },
  { name: "ListMicrovms of 10,000", operation: "ListMicrovms", records: 10_000, status: 200 },
  {
    ...{ name: "CreateMicrovmAuthToken", operation: "CreateMicrovmAuthToken" },
    ...{ records: 10_000, status: 200 },
  },
  {
    ...{ name: "rejected signature", operation: "GetMicrovm" },
    ...{ records: 10_000, status: 403, isRejected: true },
  },
];

const RATES: Readonly<Record<string, Expectation>> = {
  "GetMicrovm of 10,000": {
    ...{ text: "≥ 0.3 × bare server", figure: "median" },
    ...{ limit: { timesFloor: 0.3 }, isLeast: true },
  },
};

const LATENCIES: Readonly<Record<string, Expectation>> = {
  "ListMicrovms of 10,000": { text: "≤ 15 ms", figure: "median", limit: 15 },
};

/** Ten thousand records may cost this much of the rate with a hundred: noise, and deeper trees. */
const FLAT: Expectation = {
  ...{ text: "≥ 0.8 × with 100", figure: "median" },
  ...{ limit: { timesFloor: 0.8 }, isLeast: true },
};

/** One line for each rate and latency, and one for each operation that more records might slow down. */
export function apiMeasures(samples: Samples): Measure[] {
  const beside = CASES.flatMap(({ name }): Measure[] => [
    {
      ...{ name, unit: "req/s", samples: samples.of(`${name} rate`) },
      ...{ floor: samples.of(`${name} bare rate`) },
      ...(RATES[name] && { expectation: RATES[name] }),
    },
    {
      ...{ name: `${name}, p99`, unit: "ms", samples: samples.of(`${name} p99`) },
      ...{ floor: samples.of(`${name} bare p99`) },
      ...(LATENCIES[name] && { expectation: LATENCIES[name] }),
    },
  ]);
  const flat = ["GetMicrovm", "ListMicrovms"].map((operation): Measure => ({
    ...{ name: `${operation}, 10,000 to 100`, unit: "req/s", expectation: FLAT },
    ...{ samples: samples.of(`${operation} of 10,000 rate`) },
    ...{ floor: samples.of(`${operation} of 100 rate`) },
  }));
  return [...beside, ...flat];
}
