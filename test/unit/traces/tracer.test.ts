import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { traced } from "../../../src/lib/trace.ts";
import { createTracer, type EndedSpan } from "../../../src/traces/tracer.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

function setUp({ sampleRatio = 1, random = 0 } = {}) {
  const ended: EndedSpan[] = [];
  let elapsed = 5;
  const tracer = createTracer(
    {
      now: () => 1_700_000_000_000,
      elapsed: () => elapsed,
      random: () => random,
      onEnd: (span) => void ended.push(span),
    },
    sampleRatio,
  );
  return {
    ...tracer,
    ended,
    pass: (ms: number) => void (elapsed += ms),
    named(name: string): EndedSpan {
      const found = ended.filter((span) => span.name === name);
      assert.equal(found.length, 1, name);
      return found[0] as EndedSpan;
    },
  };
}

const nothing = async () => undefined;

describe("createTracer", () => {
  it("tells where work is a part of other work, and when", async () => {
    const { trace, pass, named } = setUp();
    await trace("whole", async () => {
      pass(10);
      await Promise.all([
        trace("left", () => Promise.resolve().then(() => trace("inner", nothing))),
        trace("right", async () => pass(2.5)),
      ]);
    });
    const [whole, left] = [named("whole"), named("left")];
    assert.equal(whole.parentSpanId, undefined);
    assert.equal(left.parentSpanId, whole.spanId);
    assert.equal(named("right").parentSpanId, whole.spanId);
    assert.equal(named("inner").parentSpanId, left.spanId);
    assert.equal(named("inner").traceId, whole.traceId);
    assert.equal(whole.startedAt, 1_700_000_000_000);
    assert.equal(whole.endedAt, 1_700_000_000_012.5);
    assert.equal(left.startedAt, 1_700_000_000_010);
  });

  it("gives every span an id of its own", async () => {
    const { trace, ended } = setUp();
    // More than the random bytes that are taken at once.
    for (let index = 0; index < 500; index += 1) await trace("a", nothing);
    assert.equal(new Set(ended.map(({ spanId }) => spanId)).size, 500);
    assert.equal(new Set(ended.map(({ traceId }) => traceId)).size, 500);
    assert.ok(ended.every(({ traceId }) => /^[0-9a-f]{32}$/.test(traceId)));
    assert.ok(ended.every(({ spanId }) => /^[0-9a-f]{16}$/.test(spanId)));
  });

  it("begins a trace for a root, and for each piece of work that is part of none", async () => {
    const { trace, ended } = setUp();
    await trace("a", () => trace("b", nothing, { kind: "root" }));
    await trace("c", nothing);
    assert.equal(new Set(ended.map(({ traceId }) => traceId)).size, 3);
    assert.ok(ended.every(({ parentSpanId }) => parentSpanId === undefined));
  });

  it("continues the trace of a client, never that of who happens to call", async () => {
    const { trace, named } = setUp();
    const traceparent = `00-${TRACE}-${SPAN}-01`;
    await trace("outer", async () => {
      await trace(
        "asked",
        async (span) => {
          assert.match(span.traceparent, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
          assert.notEqual(span.traceparent, traceparent);
        },
        { kind: "server", traceparent },
      );
      await trace("unasked", nothing, { kind: "server", traceparent: "00-nonsense" });
    });
    const asked = named("asked");
    assert.deepEqual([asked.traceId, asked.parentSpanId], [TRACE, SPAN]);
    const unasked = named("unasked");
    assert.equal(unasked.parentSpanId, undefined);
    assert.notEqual(unasked.traceId, named("outer").traceId);
  });

  it("records the part of the traces that is wanted, each whole or not at all", async () => {
    const skipped = setUp({ sampleRatio: 0.5, random: 0.5 });
    await skipped.trace("a", async (span) => {
      assert.match(span.traceparent, /-00$/);
      await skipped.trace("b", nothing);
    });
    assert.equal(skipped.ended.length, 0);
    const taken = setUp({ sampleRatio: 0.5, random: 0.49 });
    await taken.trace("a", () => taken.trace("b", nothing));
    assert.equal(taken.ended.length, 2);
  });

  it("lets a client decide about its own trace", async () => {
    const none = setUp({ sampleRatio: 0 });
    await none.trace("a", nothing, { kind: "server", traceparent: `00-${TRACE}-${SPAN}-01` });
    assert.equal(none.ended.length, 1);
    const all = setUp();
    await all.trace("a", nothing, { kind: "server", traceparent: `00-${TRACE}-${SPAN}-00` });
    assert.equal(all.ended.length, 0);
  });

  it("tells the kind of a failure and not its words", async () => {
    const { trace, named } = setUp();
    const fail = (name: string, error: Error) =>
      assert.rejects(
        trace(name, () => Promise.reject(error)),
        error,
      );
    await fail("service", new ServiceError("VMM_FAILED", "secret words"));
    await fail("bug", new TypeError("secret words"));
    await fail("given up", new DOMException("secret words", "AbortError"));
    assert.deepEqual(named("service").attributes, { "error.type": "VMM_FAILED" });
    assert.deepEqual(named("bug").attributes, { "error.type": "TypeError" });
    assert.deepEqual(named("given up").attributes, { "torpor.cancelled": true });
    const failed = ["service", "bug", "given up"].map((name) => named(name).hasFailed);
    assert.deepEqual(failed, [true, true, false]);
  });

  it("counts what a client did wrong as no failure of the server", async () => {
    const { trace, named } = setUp();
    for (const status of [404, 500]) {
      const work = trace(
        `${status}`,
        async (span) => {
          span.set({ "http.response.status_code": status });
          throw new ServiceError("NOT_FOUND", "No");
        },
        { kind: "server" },
      );
      await assert.rejects(work);
    }
    assert.deepEqual([named("404").hasFailed, named("500").hasFailed], [false, true]);
  });

  it("leaves out a span that is dropped, but not one that others are parts of", async () => {
    const { trace, ended } = setUp();
    await trace("dropped", async (span) => span.drop());
    assert.equal(ended.length, 0);
    await trace("kept", async (span) => {
      span.drop();
      await trace("part", nothing);
    });
    assert.deepEqual(
      ended.map(({ name }) => name),
      ["part", "kept"],
    );
  });

  it("keeps what a timer does out of the span that set it", async () => {
    const { trace, outside, named } = setUp();
    const clock = outside(systemClock());
    const { promise, resolve } = Promise.withResolvers<void>();
    await trace("setting", async () => {
      clock.setTimer(0, () => void trace("later", nothing).then(resolve));
    });
    await promise;
    assert.equal(named("later").parentSpanId, undefined);
    assert.notEqual(named("later").traceId, named("setting").traceId);
  });
});

describe("traced", () => {
  it("does the work alike with and without traces", async () => {
    const { trace, ended } = setUp();
    assert.equal(await traced({}, "a", async () => 1), 1);
    assert.equal(await traced({ trace }, "a", async () => 2, { attributes: { b: 3 } }), 2);
    assert.deepEqual(
      ended.map(({ name, attributes }) => [name, attributes]),
      [["a", { b: 3 }]],
    );
  });
});
