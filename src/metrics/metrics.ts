// What the service counts and measures, for Prometheus: the registry, every instrument with its meaning and labels, and
// the text of a scrape. The parts that are observed know plain functions, never this library. No label holds an id.

import {
  collectDefaultMetrics,
  Counter,
  type CounterConfiguration,
  Gauge,
  Histogram,
  Registry,
} from "prom-client";

/** Seconds; from a warm start to one that waits for a build's machine. */
const START_BUCKETS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30];
const BUILD_BUCKETS = [1, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];
const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];

export type Instruments = ReturnType<typeof createInstruments>;

/** All instruments, in a registry of their own. */
export function createInstruments(version: string) {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter<L>({ name, help, labelNames, registers } as CounterConfiguration<L>);
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge<L>({ name, help, labelNames: [...labelNames], registers });
  const histogram = <L extends string>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: readonly L[] = [],
  ) => new Histogram<L>({ name, help, labelNames: [...labelNames], buckets, registers });
  collectDefaultMetrics({ register: registry, prefix: "torpor_" });
  gauge("torpor_info", "The running version.", ["version"]).labels(version).set(1);
  return {
    registry,
    microvms: gauge("torpor_microvms", "MicroVMs that are not terminated.", ["state"]),
    transitions: counter("torpor_microvm_transitions_total", "Moves between states.", [
      ...(["from", "to"] as const),
    ]),
    launchSeconds: histogram(
      "torpor_microvm_launch_seconds",
      "From RunMicrovm to RUNNING.",
      START_BUCKETS,
    ),
    suspendSeconds: histogram(
      "torpor_microvm_suspend_seconds",
      "From SUSPENDING to SUSPENDED.",
      START_BUCKETS,
    ),
    resumeSeconds: histogram(
      "torpor_microvm_resume_seconds",
      "From the wish to wake, by a request or a call, to RUNNING.",
      START_BUCKETS,
    ),
    hostSeconds: histogram(
      "torpor_host_operation_seconds",
      "What the host does for a microVM or an image, hooks and queues left out.",
      START_BUCKETS,
      ["operation", "outcome"],
    ),
    suspendedBytes: counter(
      "torpor_suspend_written_bytes_total",
      "Written to disk by suspends: changed memory and devices.",
    ),
    buildSeconds: histogram("torpor_build_seconds", "Builds of image versions.", BUILD_BUCKETS, [
      "outcome",
    ]),
    buildsRunning: gauge("torpor_builds_running", "Builds in progress."),
    apiSeconds: histogram("torpor_api_request_seconds", "Operations of the API.", REQUEST_BUCKETS, [
      ...(["operation", "status"] as const),
    ]),
    ingressRequests: counter(
      "torpor_ingress_requests_total",
      "Requests to endpoints that are over, by the class of their status; none where the client left before.",
      ["status", "protocol"],
    ),
    ingressRefusals: counter(
      "torpor_ingress_refusals_total",
      "Requests that the ingress answered itself.",
      ["error"],
    ),
    ingressBytes: counter("torpor_ingress_bytes_total", "Body bytes to and from applications.", [
      "direction",
    ]),
    ingressWaitSeconds: histogram(
      "torpor_ingress_wait_seconds",
      "How long requests waited for a microVM to start or wake; those that found it running are not counted.",
      START_BUCKETS,
    ),
    ingressConnections: gauge("torpor_ingress_connections", "Open client connections."),
    hostMemory: gauge("torpor_host_memory_bytes", "Memory of the host.", ["kind"]),
    dataDirectory: gauge("torpor_data_directory_bytes", "The file system of the data directory.", [
      "kind",
    ]),
    traceSpans: counter(
      "torpor_trace_spans_total",
      "Spans that the collector took, and those that were given up.",
      ["outcome"],
    ),
    slots: gauge("torpor_slots", "Network slots.", ["kind"]),
  };
}
