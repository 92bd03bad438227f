// What the microVM bench reports: the name of each series, its floor, and what is expected of it under emulation.

import type { Expectation, Measure, Unit } from "./measure.ts";
import type { Samples } from "./samples.ts";

/** Names of the series that a round adds to. */
export type Series =
  | "call"
  | "running"
  | "first200"
  | "warm"
  | "suspend"
  | "dirty"
  | "written"
  | "saved"
  | "disk"
  | "processes"
  | "resume"
  | "autoResume"
  | "private";

interface Line {
  readonly series: Series;
  readonly name: string;
  readonly unit: Unit;
  readonly floor?: string;
  readonly expectation?: Expectation;
}

const AT_MOST_HALF_MORE: Expectation = {
  text: "≤ 1.5 × floor",
  figure: "median",
  limit: { timesFloor: 1.5 },
};

const LINES: readonly Line[] = [
  { series: "call", name: "RunMicrovm call", unit: "ms" },
  { series: "running", name: "call → RUNNING", unit: "ms", floor: "run" },
  {
    ...{ series: "first200", name: "call → first 200", unit: "ms", floor: "run" },
    expectation: AT_MOST_HALF_MORE,
  },
  { series: "warm", name: "warm request", unit: "ms", floor: "request" },
  {
    ...{ series: "suspend", name: "suspend", unit: "ms", floor: "suspend" },
    expectation: { text: "≤ 150 ms", figure: "median", limit: 150 },
  },
  { series: "dirty", name: "dirty at suspend", unit: "MiB", floor: "dirty" },
  { series: "written", name: "written by suspend", unit: "MiB" },
  { series: "saved", name: "saved state on disk", unit: "MiB" },
  { series: "resume", name: "explicit resume → 200", unit: "ms", floor: "resume" },
  {
    ...{ series: "autoResume", name: "auto-resume → 200", unit: "ms", floor: "resume" },
    expectation: AT_MOST_HALF_MORE,
  },
  {
    ...{ series: "private", name: "private memory, running", unit: "MiB" },
    expectation: { text: "≤ 80 MiB", figure: "max", limit: 80 },
  },
  { series: "disk", name: "disk, suspended", unit: "MiB" },
  {
    ...{ series: "processes", name: "processes, suspended", unit: "count" },
    expectation: { text: "0", figure: "max", limit: 0 },
  },
];

/** The samples as measures, then the steps of the floor. */
export function microvmMeasures(samples: Samples, floors: Samples): Measure[] {
  const ofService = LINES.map(({ series, floor, ...line }): Measure => {
    const compared = floor === undefined ? {} : { floor: floors.of(floor) };
    const { expectation = expectationOf(series, samples) } = line;
    const expected = expectation === undefined ? {} : { expectation };
    return { ...line, ...compared, ...expected, samples: samples.of(series) };
  });
  const ofFloor = floors
    .names()
    .filter((name) => name.includes(": "))
    .map((name): Measure => ({ name: `floor ${name}`, unit: "ms", samples: floors.of(name) }));
  return [...ofService, ...ofFloor];
}

/** What is written depends on what was dirty. */
function expectationOf(series: Series, samples: Samples): Expectation | undefined {
  if (series !== "written") return undefined;
  const dirty = samples.of("dirty");
  const limit = 1.1 * Math.max(...dirty) + 1;
  return { text: "≤ 1.1 × dirty + 1 MiB", figure: "max", limit };
}
