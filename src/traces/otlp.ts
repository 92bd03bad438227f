// Spans as OpenTelemetry's protocol has them in JSON (OTLP 1.x, `ExportTraceServiceRequest`).

import type { Attributes } from "../lib/trace.ts";
import type { EndedSpan } from "./tracer.ts";

/** Who tells the spans. */
export interface Resource {
  readonly version: string;
  readonly hostname: string;
}

const INTERNAL = 1;
const SERVER = 2;
const STATUS_ERROR = 2;

/** The body of a request that brings `spans` to a collector. */
export function traceRequest(resource: Resource, spans: readonly EndedSpan[]): string {
  const { version, hostname } = resource;
  const attributes = {
    "service.name": "torpor",
    "service.version": version,
    "host.name": hostname,
  };
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: keyValues(attributes) },
        scopeSpans: [{ scope: { name: "torpor", version }, spans: spans.map(spanMessage) }],
      },
    ],
  });
}

function spanMessage(span: EndedSpan): object {
  const { traceId, spanId, parentSpanId, name, isServer, attributes, hasFailed } = span;
  return {
    traceId,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    name,
    kind: isServer ? SERVER : INTERNAL,
    startTimeUnixNano: nanoseconds(span.startedAt),
    endTimeUnixNano: nanoseconds(span.endedAt),
    attributes: keyValues(attributes),
    ...(hasFailed && { status: { code: STATUS_ERROR } }),
  };
}

/** Whole microseconds: an epoch in nanoseconds is more than a number can hold. */
function nanoseconds(epochMs: number): string {
  return `${Math.round(epochMs * 1000)}000`;
}

function keyValues(attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: anyValue(value) }],
  );
}

function anyValue(value: string | number | boolean): object {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  // 64-bit integers are strings in the protocol's JSON.
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
