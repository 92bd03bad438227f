// Exchanges as spans: each is part of the client's trace, and what the application does is part of the exchange.

import { type Attributes, type Trace, TRACEPARENT, traceparentIn } from "../lib/trace.ts";
import type { Exchange } from "./exchange.ts";
import type { RawHeaders } from "./headers.ts";
import { type ExchangeFact, serve, type ServeDeps, type ServeOptions } from "./serve.ts";

/** Those that a span may be named after: over HTTP/2 a client can make up methods of any length. */
const METHODS = new Set([
  ...["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"],
]);

/** Carries one exchange to its end as a span. Does not reject. */
export function serveTraced(
  trace: Trace,
  deps: ServeDeps,
  options: ServeOptions,
  exchange: Exchange,
): Promise<void> {
  const { method, fields, requestId, httpVersion } = exchange;
  const isKnown = METHODS.has(method);
  return trace(
    isKnown ? method : "HTTP",
    (span) => {
      const observe = (fact: ExchangeFact) => {
        deps.observe?.(fact);
        span.set(attributesOf(fact));
      };
      exchange.fields = withTraceparent(fields, span.traceparent);
      const traffic = waitTraced(trace, deps.traffic);
      return serve({ ...deps, traffic, observe }, options, exchange);
    },
    {
      kind: "server",
      traceparent: traceparentIn(fields),
      attributes: {
        "http.request.method": isKnown ? method : "_OTHER",
        "network.protocol.version": httpVersion,
        "torpor.request.id": requestId,
      },
    },
  );
}

/** The same traffic; waiting for a microVM to start or wake is a span. */
function waitTraced(trace: Trace, traffic: ServeDeps["traffic"]): ServeDeps["traffic"] {
  return {
    findById: (microvmId) => traffic.findById(microvmId),
    whenRunning: (microvmId, signal) => traffic.whenRunning(microvmId, signal),
    noteActivity: (microvmId) => traffic.noteActivity(microvmId),
    open: (microvmId, signal) =>
      trace("wait for microvm", async (span) => {
        const lease = await traffic.open(microvmId, signal);
        if (lease.waitedMs === 0) span.drop();
        return lease;
      }),
  };
}

/** Neither target nor fields: they may hold secrets. */
function attributesOf(fact: ExchangeFact): Attributes {
  return {
    "client.address": fact.clientAddress,
    "http.response.status_code": fact.status,
    "http.request.body.size": fact.bytesReceived,
    "http.response.body.size": fact.bytesSent,
    "torpor.microvm.id": fact.microvmId,
    "torpor.microvm.port": fact.port,
    "torpor.proxy_error": fact.proxyError ?? undefined,
    "torpor.wait_ms": fact.waitedMs,
  };
}

/** A `tracestate` goes along if it belongs to this trace: without a `traceparent` that can be used it means nothing. */
function withTraceparent(fields: RawHeaders, traceparent: string): RawHeaders {
  const traceIdIn = (field: string | undefined) => field?.trim().slice(3, 35);
  const isContinued = traceIdIn(traceparentIn(fields)) === traceIdIn(traceparent);
  const dropped = new Set([TRACEPARENT, ...(isContinued ? [] : ["tracestate"])]);
  const others = fields.filter(
    (_text, index) => !dropped.has(fields[index - (index % 2)]?.toLowerCase() ?? ""),
  );
  return [...others, TRACEPARENT, traceparent];
}
