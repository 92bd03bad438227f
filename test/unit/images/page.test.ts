import assert from "node:assert/strict";
import { test } from "node:test";
import { pageOf } from "../../../src/images/page.ts";

const page = (items: readonly string[], maxResults: number, after: string | null) =>
  pageOf(items, { maxResults, after }, (item) => item);

test("pageOf walks a list to its end without gaps", () => {
  assert.deepEqual(page(["a", "b", "c"], 2, null), { items: ["a", "b"], next: "b" });
  assert.deepEqual(page(["a", "b", "c"], 2, "b"), { items: ["c"], next: null });
});

test("pageOf has no next page after exactly the last item", () => {
  assert.deepEqual(page(["a", "b"], 2, null), { items: ["a", "b"], next: null });
  assert.deepEqual(page([], 2, null), { items: [], next: null });
});

test("pageOf ends a list whose last item is gone", () => {
  assert.deepEqual(page(["a", "b"], 2, "gone"), { items: [], next: null });
});
