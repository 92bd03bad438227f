// Begins and ends spans. Which span a piece of work is a part of follows from where it is called, across everything that
// is awaited, so that nothing has to be handed down.

import { AsyncLocalStorage } from "node:async_hooks";
import { randomFillSync } from "node:crypto";
import { isServiceError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Attributes, Span, SpanOptions, Trace } from "../lib/trace.ts";
import { formatTraceparent, parseTraceparent, type TraceParent } from "./traceparent.ts";

/** A span that is over. */
export interface EndedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Undefined for the first of its trace. */
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly isServer: boolean;
  /** Epoch ms, with fractions. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Attributes;
  readonly hasFailed: boolean;
}

export interface TracerDeps {
  /** Epoch ms. */
  readonly now: () => number;
  /** Milliseconds that pass evenly, from any beginning. */
  readonly elapsed: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly onEnd: (span: EndedSpan) => void;
}

export interface Tracer {
  readonly trace: Trace;
  /** The same clock, whose timers begin outside of the span that they are set in: it will be long over. */
  outside(clock: Clock): Clock;
}

interface Active extends TraceParent {
  readonly parentSpanId: string | undefined;
  /** Epoch ms at the beginning of `elapsed`: one for all spans of a trace here, so that they fit together. */
  readonly epoch: number;
  hasParts: boolean;
}

const RANDOM_POOL_BYTES = 4096;
const STATUS = "http.response.status_code";

/** A tracer. Of the traces that begin here the part `sampleRatio` is recorded; a client decides for its own. */
export function createTracer(deps: TracerDeps, sampleRatio: number): Tracer {
  const current = new AsyncLocalStorage<Active | undefined>();
  const randomHex = createRandomHex();

  function begin({ kind = "part", traceparent }: SpanOptions): Active {
    const here = kind === "part" ? current.getStore() : undefined;
    if (here !== undefined) here.hasParts = true;
    const parent = here ?? (kind === "server" ? parseTraceparent(traceparent) : undefined);
    return {
      traceId: parent?.traceId ?? randomHex(16),
      spanId: randomHex(8),
      parentSpanId: parent?.spanId,
      isSampled: parent?.isSampled ?? deps.random() < sampleRatio,
      epoch: here?.epoch ?? deps.now() - deps.elapsed(),
      hasParts: false,
    };
  }

  const trace: Trace = async (name, work, options = {}) => {
    const active = begin(options);
    const startedAt = active.epoch + deps.elapsed();
    let attributes = options.attributes ?? {};
    let isWorthTelling = true;
    let failure: Failure = {};
    const span: Span = {
      traceparent: formatTraceparent(active),
      set: (more) => void (attributes = { ...attributes, ...more }),
      drop: () => void (isWorthTelling = false),
    };
    try {
      return await current.run(active, () => work(span));
    } catch (error) {
      failure = failureOf(error);
      throw error;
    } finally {
      if (active.isSampled && (isWorthTelling || active.hasParts)) {
        const isServer = options.kind === "server";
        deps.onEnd({
          ...{ traceId: active.traceId, spanId: active.spanId, name, isServer, startedAt },
          parentSpanId: active.parentSpanId,
          endedAt: active.epoch + deps.elapsed(),
          attributes: { ...attributes, ...failure },
          // What a client did wrong is no failure of the server (OpenTelemetry's conventions for HTTP).
          hasFailed: isServer ? Number(attributes[STATUS] ?? 0) >= 500 : "error.type" in failure,
        });
      }
    }
  };

  return {
    trace,
    outside: (clock) => ({
      now: () => clock.now(),
      setTimer: (delayMs, callback) =>
        current.run(undefined, () => clock.setTimer(delayMs, callback)),
    }),
  };
}

/** Random bytes as hexadecimal digits, taken many at once: asking for few costs more than the rest of a span. */
function createRandomHex(): (bytes: number) => string {
  const pool = Buffer.alloc(RANDOM_POOL_BYTES);
  let used = pool.length;
  return (bytes) => {
    if (used + bytes > pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    used += bytes;
    return pool.toString("hex", used - bytes, used);
  };
}

type Failure = { readonly "error.type"?: string; readonly "torpor.cancelled"?: true };

/** What may be told of a failure: its kind. Messages quote what callers and guests have said. */
function failureOf(error: unknown): Failure {
  if (error instanceof DOMException && error.name === "AbortError")
    return { "torpor.cancelled": true };
  if (isServiceError(error)) return { "error.type": error.code };
  return { "error.type": error instanceof Error ? error.name : typeof error };
}
