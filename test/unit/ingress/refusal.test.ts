import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import type { ExchangeResponse } from "../../../src/ingress/exchange.ts";
import { deliverRefusal, REFUSALS } from "../../../src/ingress/refusal.ts";

/** A response whose client takes what is written, or nothing. */
function responseTo(takes: boolean) {
  const body = new Writable({
    write: (_chunk, _encoding, done) => void (takes ? done() : undefined),
  });
  let cuts = 0;
  const response = {
    ...{ body, start: () => undefined, end: () => void body.end() },
    cut() {
      cuts += 1;
      body.destroy();
    },
  } as unknown as ExchangeResponse;
  return { response, cuts: () => cuts };
}

test("a client that does not take its refusal is cut", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { response, cuts } = responseTo(false);
  const delivered = deliverRefusal(response, REFUSALS.missingAuthentication, "id");
  context.mock.timers.tick(9999);
  assert.equal(cuts(), 0);
  context.mock.timers.tick(1);
  await delivered;
  assert.equal(cuts(), 1);
});

test("a client that takes its refusal is not cut", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { response, cuts } = responseTo(true);
  await deliverRefusal(response, REFUSALS.missingAuthentication, "id");
  context.mock.timers.tick(60_000);
  assert.equal(cuts(), 0);
});
