// What `bench ingress` reports of its samples, and what is expected.

import type { Protocol } from "./ingress-load.ts";
import type { Proxy } from "./ingress-proxies.ts";
import type { Expectation, Measure } from "./measure.ts";
import type { Samples } from "./samples.ts";
import { summarize } from "./statistics.ts";

export interface Load {
  readonly protocol: Protocol;
  readonly connections: number;
}

export const LOADS: readonly Load[] = (["http/1.1", "h2"] as const).flatMap((protocol) =>
  [1, 32, 128].map((connections) => ({ protocol, connections })),
);
/** What is measured of one load; `cpu` is the processor time that the proxy takes for a request. */
export type Figure = "rate" | "cpu" | "p50" | "p99";

/**
 * The body whose speed counts, and the one that its memory is compared with: large enough to fill what is let lie before
 * the first collection of garbage, some 50 MiB whatever the body.
 */
export const BODY_MIB = 256;
export const SMALL_BODY_MIB = 64;

/** WebSockets, each with one message on its way. */
export const MESSAGE_CONNECTIONS = 32;

const RATE_SHARE = 0.6;
const SPEED_SHARE = 0.7;
const ADDED_P50_MS = 0.5;
const MEMORY_GROWTH = 1.25;

/** Name of the samples of one load through one proxy. */
export function seriesOf(
  proxy: Proxy["name"],
  what: Figure,
  { protocol, connections }: Load,
): string {
  return `${proxy} ${what} ${protocol} ${connections}`;
}

/** The table's rows; nginx stands where other benches have the floor. */
export function ingressMeasures(samples: Samples): Measure[] {
  return [
    ...LOADS.flatMap((load) => requestMeasures(samples, load)),
    ...messageMeasures(samples),
    ...(["http/1.1", "h2"] as const).map((protocol) => addedLatency(samples, protocol)),
    ...(["download", "upload"] as const).flatMap((kind) => bodyMeasures(samples, kind)),
  ];
}

function requestMeasures(samples: Samples, load: Load): Measure[] {
  const name = `${load.protocol}, ${load.connections} conn.`;
  const of = (proxy: Proxy["name"], what: Figure) => samples.of(seriesOf(proxy, what, load));
  return [
    {
      ...{ name, unit: "req/s", samples: of("ingress", "rate"), floor: of("nginx", "rate") },
      expectation: atLeast(RATE_SHARE),
    },
    {
      ...{ name: `${name}, HAProxy`, unit: "req/s" },
      ...{ samples: of("HAProxy", "rate"), floor: of("nginx", "rate") },
    },
    ...(load.protocol === "h2"
      ? []
      : [
          {
            ...{ name: `${name}, bare pipe`, unit: "req/s" as const },
            ...{ samples: of("pipe", "rate"), floor: of("nginx", "rate") },
          },
        ]),
    {
      name: `${name}, CPU/request`,
      unit: "ms",
      samples: of("ingress", "cpu"),
      floor: of("nginx", "cpu"),
    },
    { name: `${name}, p50`, unit: "ms", samples: of("ingress", "p50"), floor: of("nginx", "p50") },
    { name: `${name}, p99`, unit: "ms", samples: of("ingress", "p99"), floor: of("nginx", "p99") },
  ];
}

function messageMeasures(samples: Samples): Measure[] {
  const of = (proxy: Proxy["name"], what: "messages" | "message cpu") =>
    samples.of(`${proxy} ${what}`);
  const name = `WebSocket, ${MESSAGE_CONNECTIONS} conn.`;
  return [
    {
      ...{ name, unit: "msg/s", expectation: atLeast(RATE_SHARE) },
      ...{ samples: of("ingress", "messages"), floor: of("nginx", "messages") },
    },
    {
      ...{ name: `${name}, HAProxy`, unit: "msg/s" },
      ...{ samples: of("HAProxy", "messages"), floor: of("nginx", "messages") },
    },
    {
      ...{ name: `${name}, CPU/message`, unit: "ms" },
      ...{ samples: of("ingress", "message cpu"), floor: of("nginx", "message cpu") },
    },
  ];
}

/** To the upstream's own answer over TLS, on one connection. */
function addedLatency(samples: Samples, protocol: Protocol): Measure {
  const load = { protocol, connections: 1 };
  const direct = summarize(samples.of(seriesOf("direct", "p50", load))).median;
  const added = (proxy: Proxy["name"]) =>
    samples.of(seriesOf(proxy, "p50", load)).map((p50) => p50 - direct);
  return {
    ...{ name: `${protocol}, added p50`, unit: "ms" },
    ...{ samples: added("ingress"), floor: added("nginx") },
    expectation: { text: `≤ ${ADDED_P50_MS} ms`, figure: "median", limit: ADDED_P50_MS },
  };
}

function bodyMeasures(samples: Samples, kind: "download" | "upload"): Measure[] {
  const of = (proxy: Proxy["name"]) => samples.of(`${proxy} ${kind} ${BODY_MIB}`);
  const memory = (mib: number) => samples.of(`ingress ${kind} memory ${mib}`);
  return [
    {
      ...{ name: `${kind} of ${BODY_MIB} MiB`, unit: "MiB/s" },
      ...{ samples: of("ingress"), floor: of("nginx"), expectation: atLeast(SPEED_SHARE) },
    },
    {
      ...{ name: `${kind}, HAProxy`, unit: "MiB/s", samples: of("HAProxy"), floor: of("nginx") },
    },
    {
      name: `${kind} of ${SMALL_BODY_MIB} MiB, memory`,
      unit: "MiB",
      samples: memory(SMALL_BODY_MIB),
    },
    {
      ...{ name: `${kind} of ${BODY_MIB} MiB, memory`, unit: "MiB", samples: memory(BODY_MIB) },
      expectation: {
        text: `≤ ${MEMORY_GROWTH} × that of ${SMALL_BODY_MIB} MiB`,
        figure: "median",
        limit: MEMORY_GROWTH * summarize(memory(SMALL_BODY_MIB)).median,
      },
    },
  ];
}

function atLeast(share: number): Expectation {
  return {
    text: `≥ ${share} × nginx`,
    figure: "median",
    limit: { timesFloor: share },
    isLeast: true,
  };
}
