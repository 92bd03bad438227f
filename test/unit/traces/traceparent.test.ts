import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { traceparentIn } from "../../../src/lib/trace.ts";
import { formatTraceparent, parseTraceparent } from "../../../src/traces/traceparent.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

describe("parseTraceparent", () => {
  it("reads a field, and formatTraceparent writes it", () => {
    const field = `00-${TRACE}-${SPAN}-01`;
    const parsed = { traceId: TRACE, spanId: SPAN, isSampled: true };
    assert.deepEqual(parseTraceparent(` ${field} `), parsed);
    assert.equal(formatTraceparent(parsed), field);
    assert.equal(formatTraceparent({ ...parsed, isSampled: false }), `00-${TRACE}-${SPAN}-00`);
  });

  it("takes the flag of sampling from among others", () => {
    assert.equal(parseTraceparent(`00-${TRACE}-${SPAN}-fe`)?.isSampled, false);
    assert.equal(parseTraceparent(`00-${TRACE}-${SPAN}-03`)?.isSampled, true);
  });

  it("reads what it knows of later versions", () => {
    assert.equal(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-is-new`)?.traceId, TRACE);
    assert.equal(parseTraceparent(`cc-${TRACE}-${SPAN}-01.`), undefined);
  });

  it("takes nothing else", () => {
    const bad = [
      undefined,
      "",
      "00",
      `ff-${TRACE}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-01-more`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${"0".repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE}0-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-1`,
      `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
    ];
    for (const field of bad) assert.equal(parseTraceparent(field), undefined, field);
  });
});

describe("traceparentIn", () => {
  it("finds the field by name in any case, never a value, and none among several", () => {
    const one = ["Host", "traceparent", "TraceParent", "a"];
    assert.equal(traceparentIn(one), "a");
    assert.equal(traceparentIn(["Host", "traceparent"]), undefined);
    assert.equal(traceparentIn([...one, "traceparent", "a"]), undefined);
  });
});
