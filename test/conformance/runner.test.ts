// That the runner finds what it is there to find.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assertClientSaw } from "./support/client-view.ts";
import { assertMatches, epoch, iso, substitute } from "./support/match.ts";

describe("assertMatches", () => {
  const expected = { state: "RUNNING", startedAt: epoch, reason: null };
  const actual = { state: "RUNNING", startedAt: 1_790_000_000.123, reason: null };

  it("takes what is expected", () => {
    assertMatches(actual, expected, "a microVM");
  });

  for (const [what, changed] of Object.entries({
    "another value": { ...actual, state: "PENDING" },
    "a member too many": { ...actual, extra: null },
    "a member that is missing where null is expected": { state: "RUNNING", startedAt: epoch },
    "a time in milliseconds": { ...actual, startedAt: 1_790_000_000_123 },
    "a time as text": { ...actual, startedAt: "2026-11-27T13:00:00Z" },
    "a time with microseconds": { ...actual, startedAt: 1_790_000_000.123456 },
    "null where a time is expected": { ...actual, startedAt: null },
  }))
    it(`finds ${what}`, () => {
      assert.throws(() => assertMatches(changed, expected, "a microVM"), assert.AssertionError);
    });

  it("finds items too many and too few", () => {
    assert.throws(() => assertMatches([1], [1, 2], "a list"), assert.AssertionError);
    assert.throws(() => assertMatches([1, 2], [1], "a list"), assert.AssertionError);
  });

  it("finds a number where ISO text is expected", () => {
    assert.throws(() => assertMatches(1_790_000_000, iso, "a time"), assert.AssertionError);
  });
});

describe("assertClientSaw", () => {
  const body = { state: "RUNNING", id: "unmodelled", startedAt: 1_790_000_000.5, reason: null };

  it("takes a client that shows all but nulls and what no model has", () => {
    assertClientSaw({ output: { state: "RUNNING", startedAt: 1_790_000_000.5 } }, body, undefined);
  });

  it("finds a member that the client does not show", () => {
    const seen = { output: { state: "RUNNING" } };
    assert.throws(() => assertClientSaw(seen, body, undefined), assert.AssertionError);
  });

  it("finds another exception, or another text", () => {
    const error = { name: "ConflictException", message: "No" };
    assertClientSaw({ error }, { message: "No" }, "ConflictException");
    for (const [text, type] of [
      ["No", "ValidationException"],
      ["Yes", "ConflictException"],
    ] as const)
      assert.throws(
        () => assertClientSaw({ error }, { message: text }, type),
        assert.AssertionError,
      );
  });
});

describe("substitute", () => {
  const kept = new Map<string, string | number>([
    ["id", "m-1"],
    ["startedAt", 5.5],
  ]);

  it("puts in what was kept: alone as it is, in a text as text", () => {
    const given = { path: "/<id>/x", at: ["<startedAt>"], other: "<html>" };
    const made = { path: "/m-1/x", at: [5.5], other: "<html>" };
    assert.deepEqual(substitute<unknown>(given, kept), made);
  });
});
