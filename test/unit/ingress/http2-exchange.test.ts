import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { MAX_HEADER_BYTES } from "../../../src/ingress/exchange.ts";
import { readHttp2Exchange } from "../../../src/ingress/http2-exchange.ts";
import { REFUSALS } from "../../../src/ingress/refusal.ts";

const REQUEST = [":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.localhost"];

/** The header as a stream without a body brings it. */
function read(...fields: string[]) {
  return readHttp2Exchange({
    // A refusal is decided by the header alone.
    stream: {
      endAfterHeaders: true,
      once: () => undefined,
      on: () => undefined,
    } as unknown as ServerHttp2Stream,
    raw: [...REQUEST, ...fields],
    connection: {} as never,
    signal: new AbortController().signal,
    clientAddress: "127.0.0.1",
  });
}

test("a header list larger than the limit is refused, whatever the client was advised", () => {
  assert.equal(read("x-a", "a".repeat(MAX_HEADER_BYTES)), REFUSALS.headerTooLarge);
});

test("the room that each field takes counts", () => {
  const small = Array.from({ length: 200 }, (_, n) => [`x-${n}`, "a".repeat(140)]).flat();
  assert.equal(read(...small), REFUSALS.headerTooLarge);
});

test("a header list within the limit is not refused for its size", () => {
  assert.notEqual(read("x-a", "a".repeat(MAX_HEADER_BYTES / 2)), REFUSALS.headerTooLarge);
});
