// Spans on their way to a collector that takes them, or does not.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLog } from "../../../src/lib/log.ts";
import {
  BATCH_DELAY_MS,
  BATCH_LIMIT,
  type ExporterOptions,
  MAX_ATTEMPTS,
  QUEUE_LIMIT,
  SpanExporter,
} from "../../../src/traces/exporter.ts";
import { traceRequest } from "../../../src/traces/otlp.ts";
import type { EndedSpan } from "../../../src/traces/tracer.ts";
import { createFakeClock } from "../../fixtures/fake-clock.ts";
import { eventually } from "../scheduler/harness.ts";
import { startCollector } from "../../support/collector.ts";

const span = (name: string): EndedSpan => ({
  ...{ traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7", name },
  ...{ parentSpanId: undefined, isServer: false, attributes: {}, hasFailed: false },
  ...{ startedAt: 1_700_000_000_000, endedAt: 1_700_000_000_001 },
});

async function setUp(options: Partial<ExporterOptions> = {}) {
  await using acquired = new AsyncDisposableStack();
  const collector = acquired.use(await startCollector());
  const clock = createFakeClock();
  const outcomes = { sent: 0, dropped: 0 };
  const logged: string[] = [];
  const exporter = new SpanExporter(
    {
      clock,
      log: createLog("info", (line) => void logged.push(line)),
      encode: (spans) => traceRequest({ version: "1.2.3", hostname: "one" }, spans),
      observe: (outcome, count) => void (outcomes[outcome] += count),
    },
    { endpoint: collector.endpoint, headers: {}, ...options },
  );
  const owned = acquired.move();
  return {
    ...{ collector, clock, outcomes, logged, exporter },
    add(count: number): void {
      for (let index = 0; index < count; index += 1) exporter.add(span(`span ${index}`));
    },
    async [Symbol.asyncDispose]() {
      // A close that waits for its limit is let go: the clock stands still otherwise.
      const closed = exporter[Symbol.asyncDispose]();
      clock.advance(60_000);
      await closed;
      await owned.disposeAsync();
    },
  };
}

describe("SpanExporter", () => {
  it("sends what came within the delay as one batch, with the headers that are set", async () => {
    await using context = await setUp({ headers: { authorization: "Bearer t" } });
    const { add, clock, collector, outcomes } = context;
    add(3);
    assert.equal(clock.pendingTimers(), 1);
    clock.advance(BATCH_DELAY_MS);
    await eventually(() => outcomes.sent === 3);
    assert.equal(collector.requests.length, 1);
    const [request] = collector.requests;
    assert.equal(request?.url, "/v1/traces");
    assert.equal(request?.headers["content-type"], "application/json");
    assert.equal(request?.headers.authorization, "Bearer t");
    assert.deepEqual(
      request?.spans.map(({ name }) => name),
      ["span 0", "span 1", "span 2"],
    );
  });

  it("sends a full batch at once, and the rest in its turn", async () => {
    await using context = await setUp();
    const { add, clock, collector, outcomes } = context;
    add(BATCH_LIMIT * 2 + 1);
    await eventually(() => outcomes.sent === BATCH_LIMIT * 2);
    await eventually(() => clock.pendingTimers() === 1);
    clock.advance(BATCH_DELAY_MS);
    await eventually(() => outcomes.sent === BATCH_LIMIT * 2 + 1);
    const sizes = collector.requests.map(({ spans }) => spans.length);
    assert.deepEqual(sizes, [BATCH_LIMIT, BATCH_LIMIT, 1]);
  });

  it("forgets what does not fit while a collector does not answer", async () => {
    await using context = await setUp();
    const { add, collector, outcomes } = context;
    collector.answers.push(null);
    add(BATCH_LIMIT);
    await eventually(() => collector.requests.length === 1);
    add(QUEUE_LIMIT + 7);
    assert.deepEqual(outcomes, { sent: 0, dropped: 7 });
  });

  it("tries a batch again as the collector asks, then later and later", async () => {
    await using context = await setUp();
    const { add, clock, collector, outcomes, logged } = context;
    collector.answers.push({ status: 429, headers: { "retry-after": "7" } }, { status: 503 });
    add(BATCH_LIMIT);
    for (const [attempts, delayMs] of [
      [1, 7000],
      [2, 2000],
    ] as const) {
      await eventually(() => clock.pendingTimers() === 1);
      clock.advance(delayMs - 1);
      assert.equal(clock.pendingTimers(), 1);
      assert.equal(collector.requests.length, attempts);
      clock.advance(1);
    }
    await eventually(() => outcomes.sent === BATCH_LIMIT);
    assert.equal(outcomes.dropped, 0);
    assert.deepEqual(logged, []);
  });

  it("gives a batch up after its attempts or a refusal, says so once, and when it is over", async () => {
    await using context = await setUp();
    const { add, clock, collector, outcomes, logged } = context;
    collector.answers.push(...Array.from({ length: MAX_ATTEMPTS }, () => ({ status: 502 })));
    collector.answers.push({ status: 400 });
    add(BATCH_LIMIT);
    for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt += 1) {
      await eventually(() => clock.pendingTimers() === 1);
      clock.advance(30_000);
    }
    await eventually(() => outcomes.dropped === BATCH_LIMIT);
    add(BATCH_LIMIT);
    await eventually(() => outcomes.dropped === BATCH_LIMIT * 2);
    assert.equal(logged.length, 1);
    assert.match(logged[0] ?? "", /Cannot send traces.*HTTP status 502/);
    add(BATCH_LIMIT);
    await eventually(() => outcomes.sent === BATCH_LIMIT);
    await eventually(() => logged.length === 2);
    assert.match(logged[1] ?? "", /Traces are taken again/);
  });

  it("counts what a collector rejects of a batch that it takes", async () => {
    await using context = await setUp();
    const { add, collector, outcomes } = context;
    const body = JSON.stringify({ partialSuccess: { rejectedSpans: "12", errorMessage: "No" } });
    collector.answers.push({ status: 200, body });
    add(BATCH_LIMIT);
    await eventually(() => outcomes.dropped === 12);
    assert.equal(outcomes.sent, BATCH_LIMIT - 12);
  });

  it("goes on when there is no collector", async () => {
    await using context = await setUp();
    const { add, clock, collector, outcomes, exporter } = context;
    await collector[Symbol.asyncDispose]();
    add(BATCH_LIMIT);
    await eventually(() => clock.pendingTimers() === 1);
    await exporter[Symbol.asyncDispose]();
    assert.deepEqual(outcomes, { sent: 0, dropped: BATCH_LIMIT });
  });

  it("sends the last spans when it closes, and takes none after that", async () => {
    await using context = await setUp();
    const { add, collector, outcomes, exporter } = context;
    add(BATCH_LIMIT - 1);
    await exporter[Symbol.asyncDispose]();
    assert.equal(collector.spans().length, BATCH_LIMIT - 1);
    add(1);
    assert.deepEqual(outcomes, { sent: BATCH_LIMIT - 1, dropped: 1 });
  });

  it("closes within its limit although the collector does not answer", async () => {
    await using context = await setUp({ closeTimeoutMs: 500 });
    const { add, clock, collector, outcomes, exporter } = context;
    collector.answers.push(null);
    add(BATCH_LIMIT + 1);
    await eventually(() => collector.requests.length === 1);
    const closed = exporter[Symbol.asyncDispose]();
    clock.advance(500);
    await closed;
    assert.deepEqual(outcomes, { sent: 0, dropped: BATCH_LIMIT + 1 });
  });
});
