// Traces of a service: a tracer whose spans go to the collector that the configuration names.

import { hostname } from "node:os";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { SpanExporter, type ExporterDeps, type ExporterOptions } from "./exporter.ts";
import { traceRequest } from "./otlp.ts";
import { createTracer, type Tracer } from "./tracer.ts";

export interface TracesDeps extends Pick<ExporterDeps, "observe"> {
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
}

export interface TracesOptions extends ExporterOptions {
  /** Part of the traces begun here that is recorded, from 0 to 1. */
  readonly sampleRatio: number;
}

export interface Traces extends Tracer, AsyncDisposable {}

/** Starts to send traces. Disposing it sends the last ones. */
export function createTraces(deps: TracesDeps, options: TracesOptions): Traces {
  const { clock, version } = deps;
  const resource = { version, hostname: hostname() };
  const exporter = new SpanExporter(
    { ...deps, encode: (spans) => traceRequest(resource, spans) },
    options,
  );
  const tracer = createTracer(
    {
      now: () => clock.now(),
      elapsed: () => performance.now(),
      random: () => Math.random(),
      onEnd: (span) => exporter.add(span),
    },
    options.sampleRatio,
  );
  return { ...tracer, [Symbol.asyncDispose]: () => exporter[Symbol.asyncDispose]() };
}
