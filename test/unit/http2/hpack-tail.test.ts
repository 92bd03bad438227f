import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type HeaderList,
  HpackDecoder,
  type HpackLimits,
} from "../../../src/http2/hpack-decoder.ts";
import { HpackReader } from "../../../src/http2/hpack-reader.ts";
import { HpackTable } from "../../../src/http2/hpack-table.ts";
import { indexed, inserting, integer, passing, plain, sizeUpdate } from "./blocks.ts";

const LIMITS: HpackLimits = { tableBytes: 4096, listBytes: 1 << 20, listFields: 1000 };
const AGENT = ["user-agent", "test/1.0"];
const TOKEN = ["x-token", "abc".repeat(100)];

/** `:method GET`, and a path that does not enter the table. */
function leading(path: string): Buffer {
  return Buffer.concat([indexed(2), integer(0, 4, 4), plain(path)]);
}

/** A client's first request, which fills its table, and all later ones. */
const FIRST_TAIL = [inserting(...pair(AGENT)), inserting(...pair(TOKEN))];
const TAIL = [indexed(63), indexed(62)];

function pair([name = "", value = ""]: readonly string[]): [string, string] {
  return [name, value];
}

/** Decodes the parts as one block within a larger buffer, which then holds something else. */
function decode(decoder: HpackDecoder, ...parts: readonly Buffer[]): HeaderList {
  const block = Buffer.concat(parts);
  const around = Buffer.concat([Buffer.alloc(9), block, Buffer.alloc(9)]);
  const list = decoder.decode(around.subarray(9, 9 + block.length));
  around.fill(0xff);
  return list;
}

/** A decoder that has seen a client's first two requests, and what the second one gave. */
function prepared(limits: Partial<HpackLimits> = {}): [HpackDecoder, HeaderList] {
  const decoder = new HpackDecoder({ ...LIMITS, ...limits });
  decode(decoder, leading("/1"), ...FIRST_TAIL);
  return [decoder, decode(decoder, leading("/2"), ...TAIL)];
}

test("from the third time on the fields are the same array, whatever the path", () => {
  const decoder = new HpackDecoder(LIMITS);
  const first = decode(decoder, leading("/1"), ...FIRST_TAIL);
  const second = decode(decoder, leading("/22"), ...TAIL);
  assert.deepEqual(first.fields, [...AGENT, ...TOKEN]);
  assert.deepEqual(second.fields, first.fields);
  assert.notEqual(second.fields, first.fields);
  for (const path of ["/333", "/22", "/", ""]) {
    const list = decode(decoder, leading(path), ...TAIL);
    assert.equal(list.fields, second.fields);
    assert.deepEqual(list.pseudo, [":method", "GET", ":path", path]);
    assert.equal(list.isTooLarge, false);
  }
  const withoutPath = decode(decoder, indexed(3), ...TAIL);
  assert.equal(withoutPath.fields, second.fields);
  assert.deepEqual(withoutPath.pseudo, [":method", "POST"]);
});

test("a tail that differs by one byte is read, and remembered in its turn", () => {
  const [decoder, before] = prepared();
  const other = decode(decoder, leading("/3"), indexed(62), indexed(62));
  assert.deepEqual(other.fields, [...TOKEN, ...TOKEN]);
  assert.equal(decode(decoder, leading("/4"), indexed(62), indexed(62)).fields, other.fields);
  const again = decode(decoder, leading("/5"), ...TAIL);
  assert.deepEqual(again.fields, before.fields);
  assert.notEqual(again.fields, before.fields);
  assert.deepEqual(before.fields, [...AGENT, ...TOKEN]);
});

test("each single byte of a tail counts, in short ones and long ones", () => {
  for (const length of [1, 30, 31, 32, 60, 61, 62, 100, 1000]) {
    const value = "v".repeat(length);
    const decoder = new HpackDecoder(LIMITS);
    const { fields } = decode(decoder, leading("/1"), passing("n", value));
    assert.equal(decode(decoder, leading("/2"), passing("n", value)).fields, fields);
    for (const at of [0, Math.floor(length / 2), length - 1]) {
      const other = `${value.slice(0, at)}w${value.slice(at + 1)}`;
      const list = decode(decoder, leading("/3"), passing("n", other));
      assert.deepEqual(list.fields, ["n", other]);
      decode(decoder, leading("/4"), passing("n", value));
    }
  }
});

test("a tail is not taken for one that it begins or ends with", () => {
  const [decoder] = prepared();
  assert.deepEqual(decode(decoder, leading("/"), ...TAIL, indexed(62)).fields.length, 6);
  decode(decoder, leading("/"), ...TAIL);
  assert.deepEqual(decode(decoder, leading("/"), indexed(63)).fields, AGENT);
  decode(decoder, leading("/"), ...TAIL);
  assert.deepEqual(decode(decoder, leading("/"), indexed(62)).fields, TOKEN);
  decode(decoder, leading("/"), ...TAIL);
  const late = decode(decoder, leading("/"), indexed(62), ...TAIL);
  assert.deepEqual(late.fields, [...TOKEN, ...AGENT, ...TOKEN]);
  assert.deepEqual(decode(decoder, leading("/")).fields, []);
});

test("after the table has changed the same bytes are read again", () => {
  const [decoder, before] = prepared();
  // A field of another block enters the table, so that the bytes mean something else.
  decode(decoder, leading("/3"), inserting("x-new", "1"));
  const moved = decode(decoder, leading("/4"), ...TAIL);
  assert.deepEqual(moved.fields, [...TOKEN, "x-new", "1"]);
  assert.deepEqual(before.fields, [...AGENT, ...TOKEN]);
});

test("a pseudo-header field that enters the table changes what the tail means", () => {
  const [decoder, before] = prepared();
  const path = Buffer.concat([indexed(2), integer(0x40, 6, 4), plain("/new")]);
  const list = decode(decoder, path, ...TAIL);
  assert.deepEqual(list.pseudo, [":method", "GET", ":path", "/new"]);
  assert.deepEqual(list.fields, [...TOKEN, ":path", "/new"]);
  // That tail changed nothing itself.
  assert.equal(decode(decoder, leading("/5"), ...TAIL).fields, list.fields);
  assert.notEqual(list.fields, before.fields);
});

test("a size update makes the tail be read again, even to the same size", () => {
  for (const updates of [[4096], [1000], [0, 4096]]) {
    const [decoder, before] = prepared();
    const start = Buffer.concat(updates.map(sizeUpdate));
    if (updates.includes(0)) {
      assert.throws(() => decode(decoder, start, leading("/3"), ...TAIL), /no such index/);
      continue;
    }
    const list = decode(decoder, start, leading("/3"), ...TAIL);
    assert.deepEqual(list.fields, before.fields);
    assert.notEqual(list.fields, before.fields);
    assert.equal(decode(decoder, leading("/4"), ...TAIL).fields, list.fields);
  }
});

test("a tail that changes the table is never remembered", () => {
  const decoder = new HpackDecoder(LIMITS);
  const tail = [inserting("a", "1"), indexed(62)];
  const lists = [1, 2, 3, 4].map(() => decode(decoder, leading("/"), ...tail).fields);
  for (const fields of lists) assert.deepEqual(fields, ["a", "1", "a", "1"]);
  assert.equal(new Set(lists).size, lists.length);
  // Nor one that only empties it.
  const [emptying] = prepared();
  const huge = inserting("huge", "x".repeat(5000));
  const large = [1, 2, 3].map(() => decode(emptying, leading("/"), huge).fields);
  assert.equal(new Set(large).size, large.length);
});

test("a tail of more than 4 KiB is not remembered, one of 4 KiB is", () => {
  const fitting = "x".repeat(4096 - passing("n", "x".repeat(4000)).length + 4000);
  for (const [value, isRemembered] of [
    [fitting, true],
    [`${fitting}x`, false],
  ] as const) {
    const decoder = new HpackDecoder(LIMITS);
    const tail = passing("n", value);
    assert.equal(tail.length, isRemembered ? 4096 : 4097);
    const { fields } = decode(decoder, leading("/1"), tail);
    const again = decode(decoder, leading("/2"), tail).fields;
    assert.deepEqual(again, fields);
    assert.equal(again === fields, isRemembered);
  }
});

test("the limits of a list hold for remembered fields too", () => {
  const path = "/".repeat(100);
  // `:method GET` has 42 bytes, `:path` 37 and the path, the others 50 and 339.
  const bytes = 42 + 37 + path.length + 50 + 339;
  const [decoder, { fields }] = prepared({ listBytes: bytes, listFields: 4 });
  const exact = decode(decoder, leading(path), ...TAIL);
  assert.equal(exact.isTooLarge, false);
  assert.equal(exact.fields, fields);
  const tooLong = decode(decoder, leading(`${path}/`), ...TAIL);
  assert.equal(tooLong.isTooLarge, true);
  assert.deepEqual(tooLong.fields, []);
  assert.equal(decode(decoder, indexed(2), leading("/"), ...TAIL).isTooLarge, true);
  assert.equal(decode(decoder, leading("/"), ...TAIL).fields, fields);
});

test("a list that is too large is not remembered", () => {
  const decoder = new HpackDecoder({ ...LIMITS, listFields: 3 });
  const tail = [passing("a", "1"), passing("b", "2")];
  for (const _ of [1, 2, 3]) {
    const list = decode(decoder, leading("/"), ...tail);
    assert.equal(list.isTooLarge, true);
    assert.deepEqual(list.fields, ["a", "1"]);
  }
  const small = decode(decoder, indexed(2), ...tail);
  assert.deepEqual(small, {
    pseudo: [":method", "GET"],
    fields: ["a", "1", "b", "2"],
    isTooLarge: false,
  });
});

test("trailers are a tail without pseudo-header fields", () => {
  const decoder = new HpackDecoder(LIMITS);
  const trailers = [passing("grpc-status", "0"), passing("grpc-message", "")];
  const { fields } = decode(decoder, ...trailers);
  assert.equal(decode(decoder, ...trailers).fields, fields);
  assert.equal(decode(decoder, leading("/"), ...trailers).fields, fields);
});

test("a late pseudo-header field is remembered as the field that it is", () => {
  const decoder = new HpackDecoder(LIMITS);
  const tail = [passing("a", "1"), indexed(4)];
  const { fields } = decode(decoder, leading("/1"), ...tail);
  assert.deepEqual(fields, ["a", "1", ":path", "/"]);
  assert.equal(decode(decoder, leading("/2"), ...tail).fields, fields);
});

/** Representations that come again often and mean another thing when the table has changed. */
const PART = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(2, 4, 15, 16, 62, 63, 64).map(indexed) },
  { weight: 3, arbitrary: fc.constantFrom("a", "b", ":c").map((name) => passing(name, "1")) },
  { weight: 1, arbitrary: fc.constantFrom("d", ":e").map((name) => inserting(name, "2")) },
);
const BLOCKS = fc.array(fc.tuple(fc.boolean(), fc.array(PART, { maxLength: 5 })), {
  ...{ minLength: 2, maxLength: 30 },
});

test("with its memory a decoder reads what it would read without", () => {
  let hits = 0;
  const property = fc.property(BLOCKS, (blocks) => {
    const decoder = new HpackDecoder(LIMITS);
    const table = new HpackTable(4096, 4096);
    const start = Buffer.concat([inserting("x", "1"), inserting("y", "2"), inserting("z", "3")]);
    let [last, tail]: [readonly string[], readonly Buffer[]] = [[], []];
    for (const [isRepeated, parts] of [[false, [start]], ...blocks] as typeof blocks) {
      tail = isRepeated ? tail : parts;
      const block = Buffer.concat([leading("/"), ...tail]);
      const reader = new HpackReader(table, block);
      const fields: string[] = [];
      for (; !reader.isAtEnd; fields.push(reader.name, reader.value)) reader.readField();
      const list = decoder.decode(block);
      assert.deepEqual([...list.pseudo, ...list.fields], fields);
      if (list.fields === last) hits += 1;
      last = list.fields;
    }
  });
  fc.assert(property, { seed: 1, numRuns: 300 });
  assert.ok(hits > 300, `${hits} hits`);
});
