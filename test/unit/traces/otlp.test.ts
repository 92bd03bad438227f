import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { traceRequest } from "../../../src/traces/otlp.ts";
import type { EndedSpan } from "../../../src/traces/tracer.ts";

const SPAN: EndedSpan = {
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  spanId: "00f067aa0ba902b7",
  parentSpanId: undefined,
  name: "GET",
  isServer: true,
  startedAt: 1_700_000_000_123.4567,
  endedAt: 1_700_000_000_124,
  attributes: { text: "a", whole: 7, part: 0.5, is: true, none: undefined },
  hasFailed: false,
};

describe("traceRequest", () => {
  it("has spans as a collector reads them", () => {
    const inner = { ...SPAN, isServer: false, parentSpanId: "b7ad6b7169203331", hasFailed: true };
    const message = traceRequest({ version: "1.2.3", hostname: "one" }, [SPAN, inner]);
    const [{ resource, scopeSpans }] = JSON.parse(message).resourceSpans;
    assert.deepEqual(resource.attributes, [
      { key: "service.name", value: { stringValue: "torpor" } },
      { key: "service.version", value: { stringValue: "1.2.3" } },
      { key: "host.name", value: { stringValue: "one" } },
    ]);
    const [{ scope, spans }] = scopeSpans;
    assert.deepEqual(scope, { name: "torpor", version: "1.2.3" });
    assert.deepEqual(spans[0], {
      traceId: SPAN.traceId,
      spanId: SPAN.spanId,
      name: "GET",
      kind: 2,
      startTimeUnixNano: "1700000000123457000",
      endTimeUnixNano: "1700000000124000000",
      attributes: [
        { key: "text", value: { stringValue: "a" } },
        { key: "whole", value: { intValue: "7" } },
        { key: "part", value: { doubleValue: 0.5 } },
        { key: "is", value: { boolValue: true } },
      ],
    });
    const { kind, parentSpanId, status } = spans[1];
    assert.deepEqual([kind, parentSpanId, status], [1, "b7ad6b7169203331", { code: 2 }]);
  });
});
