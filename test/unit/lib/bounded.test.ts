import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRoom } from "../../../src/lib/bounded.ts";

test("makeRoom forgets the oldest entries at the limit, and none below it", () => {
  const map = new Map<string, number>();
  for (const [index, key] of ["a", "b", "c", "d"].entries()) {
    makeRoom(map, 3);
    map.set(key, index);
  }
  assert.deepEqual([...map.keys()], ["b", "c", "d"]);
  makeRoom(map, 4);
  assert.equal(map.size, 3);
  makeRoom(map, 2);
  assert.deepEqual([...map.keys()], ["d"]);
});
