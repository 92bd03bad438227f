import assert from "node:assert/strict";
import { test } from "node:test";
import { SIZE_CLASSES } from "../../../src/images/size-class.ts";
import type { ClientConnection } from "../../../src/ingress/exchange.ts";
import {
  createLimiter,
  type EndpointLimits,
  limitsOfSize,
  NO_LIMITS,
} from "../../../src/ingress/limits.ts";
import { REFUSALS } from "../../../src/ingress/refusal.ts";
import type { MicrovmRecord } from "../../../src/microvms/records.ts";

const record = (microvmId: string) => ({ microvmId }) as MicrovmRecord;
const LIMITS: EndpointLimits = { ...NO_LIMITS, connections: 2 };

function newConnection(): ClientConnection & { close(): void } {
  const closed = new AbortController();
  return {
    upstreams: {} as never,
    memory: {} as never,
    signal: closed.signal,
    shutDown: () => undefined,
    close: () => closed.abort(),
  };
}

function limiterWith(limits: Partial<EndpointLimits>) {
  const clock = { now: 0 };
  const asked: string[] = [];
  const limiter = createLimiter({
    limitsOf: async ({ microvmId }) => {
      asked.push(microvmId);
      return { ...LIMITS, ...limits };
    },
    now: () => clock.now,
  });
  const count = async (microvmId: string, connection: ClientConnection = newConnection()) => {
    const result = await limiter.count(record(microvmId), connection);
    return result.kind === "refused" ? result : "within";
  };
  return { clock, asked, count };
}

test("the limits of the size classes are the service's", () => {
  const table = SIZE_CLASSES.map((size) => Object.values(limitsOfSize(size)));
  assert.deepEqual(table, [
    [8, 10, 1_000_000],
    [16, 20, 2_000_000],
    [32, 40, 4_000_000],
    [64, 80, 8_000_000],
    [128, 160, 16_000_000],
  ]);
});

test("a connection counts once, from its first request to its close", async () => {
  const { count } = limiterWith({});
  const [first, second] = [newConnection(), newConnection()];
  for (const connection of [first, second, first, second, first])
    assert.equal(await count("a", connection), "within");
  assert.equal(await count("a"), REFUSALS.tooManyConnections);
  first.close();
  assert.equal(await count("a"), "within");
  assert.equal(await count("a"), REFUSALS.tooManyConnections);
});

test("a connection that closed before it was counted takes no room", async () => {
  const { count } = limiterWith({});
  for (let number = 0; number < 5; number++) {
    const connection = newConnection();
    connection.close();
    assert.equal(await count("a", connection), "within");
  }
});

test("requests are let through up to the rate, and refused ones cost nothing", async () => {
  const { count, clock } = limiterWith({ requestsPerSecond: 10 });
  const connection = newConnection();
  const ask = () => count("a", connection);
  for (let number = 0; number < 10; number++) assert.equal(await ask(), "within");
  for (let number = 0; number < 50; number++) assert.equal(await ask(), REFUSALS.tooManyRequests);
  clock.now += 100;
  assert.equal(await ask(), "within");
  assert.equal(await ask(), REFUSALS.tooManyRequests);
  clock.now += 60_000;
  for (let number = 0; number < 10; number++) assert.equal(await ask(), "within");
  assert.equal(await ask(), REFUSALS.tooManyRequests);
});

test("a refused request does not hold a connection for the microVM", async () => {
  const { count, clock } = limiterWith({ requestsPerSecond: 1 });
  assert.equal(await count("a"), "within");
  for (let number = 0; number < 5; number++)
    assert.equal(await count("a"), REFUSALS.tooManyRequests);
  clock.now += 1000;
  assert.equal(await count("a"), "within");
});

test("one microVM at its limits leaves the others theirs", async () => {
  const { count } = limiterWith({ requestsPerSecond: 1 });
  const connection = newConnection();
  assert.equal(await count("a", connection), "within");
  assert.equal(await count("a", connection), REFUSALS.tooManyRequests);
  assert.equal(await count("b", connection), "within");
});

test("first requests that arrive together are counted together", async () => {
  const { count } = limiterWith({});
  const results = await Promise.all(Array.from({ length: 5 }, () => count("a")));
  assert.equal(results.filter((result) => result === "within").length, 2);
});

test("endpoints at rest are forgotten, those in use or over their rate are not", async () => {
  const { count, clock, asked } = limiterWith({ requestsPerSecond: 1 });
  const held = newConnection();
  await count("held", held);
  clock.now += 5000;
  const visit = async (prefix: string) => {
    for (let number = 0; number < 300; number++) {
      const connection = newConnection();
      await count(`${prefix}${number}`, connection);
      connection.close();
    }
  };
  await visit("early");
  assert.equal(await count("early299"), REFUSALS.tooManyRequests);
  clock.now += 5000;
  await visit("late");
  await visit("later");
  const askedBefore = asked.length;
  await count("held", held);
  await count("later299");
  assert.equal(asked.length, askedBefore);
  await count("early0");
  assert.equal(asked.length, askedBefore + 1);
});
