import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isUnmodified, parseRange, writePrecondition } from "../../../../src/api/s3/conditions.ts";
import type { ObjectRecord } from "../../../../src/artifacts/records.ts";
import { isServiceError } from "../../../../src/errors.ts";

const failsAs = (s3Code: string) => (error: unknown) =>
  isServiceError(error) && error.details["s3Code"] === s3Code;

describe("parseRange", () => {
  const cases: [string | undefined, number, [number, number] | undefined][] = [
    [undefined, 10, undefined],
    ["bytes=0-0", 10, [0, 1]],
    ["bytes=2-4", 10, [2, 5]],
    ["bytes=2-", 10, [2, 10]],
    ["bytes=2-99", 10, [2, 10]],
    ["bytes=-3", 10, [7, 10]],
    ["bytes=-99", 10, [0, 10]],
    ["bytes=9-9", 10, [9, 10]],
    ["bytes=4-2", 10, undefined],
    ["bytes=-", 10, undefined],
    ["bytes=0-1,3-4", 10, undefined],
    ["lines=0-1", 10, undefined],
    ["bytes=a-b", 10, undefined],
  ];
  for (const [range, size, expected] of cases)
    it(`of "${range}" over ${size} bytes is ${expected?.join(" to ") ?? "all"}`, () => {
      const found = parseRange(range, size);
      assert.deepEqual(found && [found.start, found.end], expected);
    });

  it("refuses what lies beyond the end", () => {
    for (const [range, size] of [
      ["bytes=10-", 10],
      ["bytes=10-12", 10],
      ["bytes=-0", 10],
      ["bytes=0-", 0],
      ["bytes=-1", 0],
    ] as const)
      assert.throws(() => parseRange(range, size), failsAs("InvalidRange"));
  });
});

const changed = Date.UTC(2026, 9, 1, 12, 0, 0);
const object = { etag: "abc", lastModified: changed + 345 };
const date = (offsetMs: number) => new Date(changed + offsetMs).toUTCString();

describe("isUnmodified", () => {
  it("compares entity tags in all their spellings", () => {
    for (const tag of ['"abc"', "abc", 'W/"abc"', '"x", "abc"', "*"])
      assert.equal(isUnmodified({ "if-none-match": tag }, object), true);
    assert.equal(isUnmodified({ "if-none-match": '"abd"' }, object), false);
    assert.equal(isUnmodified({}, object), false);
  });

  it("compares dates by whole seconds", () => {
    assert.equal(isUnmodified({ "if-modified-since": date(0) }, object), true);
    assert.equal(isUnmodified({ "if-modified-since": date(-1000) }, object), false);
    assert.equal(isUnmodified({ "if-modified-since": "no date" }, object), false);
  });

  it("refuses when a required version is not there", () => {
    assert.equal(isUnmodified({ "if-match": '"abc"' }, object), false);
    assert.throws(() => isUnmodified({ "if-match": '"x"' }, object), failsAs("PreconditionFailed"));
    assert.throws(
      () => isUnmodified({ "if-unmodified-since": date(-1000) }, object),
      failsAs("PreconditionFailed"),
    );
    assert.equal(isUnmodified({ "if-unmodified-since": date(0) }, object), false);
  });

  it("lets tags decide over dates", () => {
    const later = { "if-match": '"abc"', "if-unmodified-since": date(-1000) };
    assert.equal(isUnmodified(later, object), false);
    const other = { "if-none-match": '"x"', "if-modified-since": date(1000) };
    assert.equal(isUnmodified(other, object), false);
  });
});

describe("writePrecondition", () => {
  const current: ObjectRecord = {
    ...{ key: "k", sizeBytes: 1, etag: "abc", lastModified: 0, checksum: null },
    ...{ headers: {}, userMetadata: {}, segments: [] },
  };

  it("lets every write pass when nothing is asked", () => {
    writePrecondition({})(current);
    writePrecondition({})(undefined);
  });

  it("makes only new objects with If-None-Match: *", () => {
    writePrecondition({ "if-none-match": "*" })(undefined);
    assert.throws(
      () => writePrecondition({ "if-none-match": "*" })(current),
      failsAs("PreconditionFailed"),
    );
    assert.throws(() => writePrecondition({ "if-none-match": '"abc"' }), failsAs("NotImplemented"));
  });

  it("replaces only the named version with If-Match", () => {
    writePrecondition({ "if-match": '"abc"' })(current);
    assert.throws(
      () => writePrecondition({ "if-match": '"x"' })(current),
      failsAs("PreconditionFailed"),
    );
    assert.throws(() => writePrecondition({ "if-match": "*" })(undefined), failsAs("NoSuchKey"));
  });
});
