import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { listPage, type ListQuery, type Scan } from "../../../src/artifacts/listing.ts";
import type { ObjectSummary } from "../../../src/artifacts/records.ts";

const summary = (key: string): ObjectSummary => ({
  ...{ key, sizeBytes: 1, etag: "e", lastModified: 0, checksum: null },
});

/** A scan over these keys, and how many objects it gave out. */
function scanOf(keys: readonly string[]) {
  const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const counted = { objects: 0 };
  const scan: Scan = function* (from, before) {
    for (const key of sorted) {
      const bytes = Buffer.from(key);
      if (Buffer.compare(bytes, from) < 0 || Buffer.compare(bytes, before) >= 0) continue;
      counted.objects++;
      yield summary(key);
    }
  };
  return { scan, counted };
}

function names(scan: Scan, query: Partial<ListQuery> = {}) {
  const page = listPage(scan, { prefix: "", delimiter: "", after: "", limit: 1000, ...query });
  return {
    names: page.entries.map((entry) =>
      entry.kind === "prefix" ? `[${entry.prefix}]` : entry.object.key,
    ),
    next: page.next,
  };
}

/** Every entry, page by page. */
function allPages(scan: Scan, query: Partial<ListQuery>): string[] {
  const found: string[] = [];
  let after: string | undefined = "";
  while (after !== undefined) {
    const page = names(scan, { ...query, after });
    assert.ok(page.names.length > 0 || page.next === undefined);
    found.push(...page.names);
    after = page.next;
  }
  return found;
}

const TREE = ["a", "a/1", "a/2", "a/b/3", "a0", "b/", "b/4", "c"];

describe("listPage", () => {
  it("lists everything in byte order", () => {
    const keys = ["é", "z", "Z", "\u{1f600}", "\uffff", "a b"];
    // UTF-16 order would put the emoji before U+FFFF.
    assert.deepEqual(names(scanOf(keys).scan).names, [
      ...["Z", "a b", "z", "é", "\uffff", "\u{1f600}"],
    ]);
  });

  it("rolls up what a delimiter follows", () => {
    const { scan } = scanOf(TREE);
    assert.deepEqual(names(scan, { delimiter: "/" }).names, ["a", "[a/]", "a0", "[b/]", "c"]);
    assert.deepEqual(names(scan, { delimiter: "/", prefix: "a/" }).names, [
      ...["a/1", "a/2", "[a/b/]"],
    ]);
    assert.deepEqual(names(scan, { delimiter: "b/" }).names, [
      ...["a", "a/1", "a/2", "[a/b/]", "a0", "[b/]", "c"],
    ]);
  });

  it("keeps to a prefix", () => {
    const { scan } = scanOf([...TREE, "a/\u{10ffff}"]);
    assert.deepEqual(names(scan, { prefix: "a/" }).names, ["a/1", "a/2", "a/b/3", "a/\u{10ffff}"]);
    assert.deepEqual(names(scan, { prefix: "x" }).names, []);
  });

  it("gives the same entries in pages of any size", () => {
    for (const query of [{}, { delimiter: "/" }, { delimiter: "/", prefix: "a/" }]) {
      const { scan } = scanOf(TREE);
      const whole = names(scan, query).names;
      for (const limit of [1, 2, 3, 5, whole.length])
        assert.deepEqual(allPages(scan, { ...query, limit }), whole);
    }
  });

  it("says that there is more only when there is", () => {
    const { scan } = scanOf(["a", "b/1", "b/2"]);
    assert.deepEqual(names(scan, { limit: 3 }), { names: ["a", "b/1", "b/2"], next: undefined });
    assert.deepEqual(names(scan, { limit: 2 }), { names: ["a", "b/1"], next: "b/1" });
    assert.equal(names(scan, { limit: 2, delimiter: "/" }).next, undefined);
    assert.deepEqual(names(scan, { limit: 0 }), { names: [], next: undefined });
  });

  it("starts after a key that need not exist", () => {
    const { scan } = scanOf(TREE);
    assert.deepEqual(names(scan, { after: "a/15" }).names, [
      "a/2",
      "a/b/3",
      "a0",
      "b/",
      "b/4",
      "c",
    ]);
    assert.deepEqual(names(scan, { after: "a/15", prefix: "b" }).names, ["b/", "b/4"]);
    assert.deepEqual(names(scan, { after: "z" }).names, []);
    assert.deepEqual(names(scan, { after: "a/1", delimiter: "/" }).names, [
      ...["[a/]", "a0", "[b/]", "c"],
    ]);
  });

  it("reads one object of a prefix, however many there are", () => {
    const { scan, counted } = scanOf(Array.from({ length: 500 }, (_, n) => `dir/${n}`));
    assert.deepEqual(names(scan, { delimiter: "/" }).names, ["[dir/]"]);
    assert.equal(counted.objects, 1);
  });
});
