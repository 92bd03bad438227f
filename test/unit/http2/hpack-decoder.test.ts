import assert from "node:assert/strict";
import { test } from "node:test";
import { HpackDecoder, HpackError, type HpackLimits } from "../../../src/http2/hpack-decoder.ts";
import {
  bytesOf,
  hex,
  huffman,
  indexed,
  inserting,
  integer,
  passing,
  plain,
  sizeUpdate,
} from "./blocks.ts";

const LIMITS: HpackLimits = { tableBytes: 4096, listBytes: 1 << 20, listFields: 1000 };
const FIRST_DYNAMIC = 62;

function decoderOf(limits: Partial<HpackLimits> = {}): HpackDecoder {
  return new HpackDecoder({ ...LIMITS, ...limits });
}

function decode(...parts: readonly Buffer[]) {
  return decoderOf().decode(Buffer.concat(parts));
}

function refuses(reason: RegExp, ...parts: readonly Buffer[]): void {
  const isRefusal = (error: unknown) => error instanceof HpackError && reason.test(error.message);
  assert.throws(() => decode(...parts), isRefusal);
}

test("an empty block is an empty list", () => {
  assert.deepEqual(decode(), { pseudo: [], fields: [], isTooLarge: false });
});

test("leading pseudo-header fields are told apart, late ones are fields", () => {
  const { pseudo, fields } = decode(
    ...[indexed(2), passing(":x", "1"), passing("a", ":b"), indexed(4), passing("", "")],
  );
  assert.deepEqual(pseudo, [":method", "GET", ":x", "1"]);
  assert.deepEqual(fields, ["a", ":b", ":path", "/", "", ""]);
});

test("bytes are characters", () => {
  const text = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte));
  assert.deepEqual(decode(passing(text, text)).fields, [text, text]);
  const code = huffman(text);
  const coded = Buffer.concat([integer(0x80, 7, code.length), code]);
  assert.deepEqual(decode(Buffer.from([0]), coded, coded).fields, [text, text]);
});

test("names may come from either table, in each kind of literal", () => {
  const parts = [inserting("own", "1")];
  for (const [kind, bits] of [
    [0x00, 4],
    [0x10, 4],
    [0x40, 6],
  ] as const) {
    parts.push(integer(kind, bits, FIRST_DYNAMIC), plain("2"));
    parts.push(integer(kind, bits, 58), plain("3"));
  }
  const literals = ["own", "2", "user-agent", "3"];
  assert.deepEqual(decode(...parts).fields, ["own", "1", ...literals, ...literals, ...literals]);
  assert.deepEqual(decode(...parts, indexed(62), indexed(63)).fields.slice(-4), [
    ...["user-agent", "3"],
    ...["own", "2"],
  ]);
});

test("each index of the static table is known, and none beyond", () => {
  const all = Array.from({ length: 61 }, (_, index) => indexed(index + 1));
  const { pseudo, fields } = decode(...all);
  assert.equal(pseudo.length, 14 * 2);
  assert.equal(fields.length, 47 * 2);
  assert.deepEqual(fields.slice(0, 4), ["accept-charset", "", "accept-encoding", "gzip, deflate"]);
  assert.deepEqual(fields.slice(-2), ["www-authenticate", ""]);
  refuses(/no such index/, indexed(0));
  refuses(/no such index/, indexed(62));
  refuses(/no such index/, inserting("a", "b"), indexed(63));
  refuses(/no such index/, integer(0x40, 6, 62), plain("a"));
  refuses(/no such index/, integer(0x00, 4, 62), plain("a"));
});

test("an integer has four more bytes at most", () => {
  const long = "a".repeat(127 + 2 ** 14);
  assert.deepEqual(decode(passing(long, "")).fields, [long, ""]);
  // Leading zeros are allowed.
  assert.deepEqual(decode(hex("00 01 61 7f 80808000"), Buffer.alloc(127, "b")).fields, [
    ...["a", "b".repeat(127)],
  ]);
  refuses(/integer is too long/, hex("ff 8080808000"));
  refuses(/integer is too long/, hex("ff ffffffff00"));
  refuses(/integer is too long/, hex("00 01 61 7f ffffffffffffffff"));
  refuses(/no such index/, hex("ff ffffff7f"));
  refuses(/truncated string/, hex("00 7f ffffff7f 61"));
  refuses(/above the limit/, hex("3f ffffff7f"));
});

test("what is truncated is refused, wherever it is cut", () => {
  const parts = [
    inserting("some-name", "x".repeat(200)),
    integer(0x10, 4, 62),
    integer(0x80, 7, huffman("value").length),
    huffman("value"),
  ];
  const block = Buffer.concat(parts);
  const first = parts[0]?.length ?? 0;
  assert.equal(decode(block).fields.length, 4);
  for (let length = 1; length < block.length; length += 1) {
    if (length !== first) refuses(/truncated/, block.subarray(0, length));
  }
});

test("a wrong Huffman code is refused", () => {
  refuses(/Huffman/, hex("00 81 ff 00"));
  refuses(/Huffman/, hex("00 01 61 84 ffffffff"));
  refuses(/Huffman/, hex("00 81"), bytesOf("00011", "000"), hex("00"));
});

test("a size update comes first and stays within what was announced", () => {
  const limits = { tableBytes: 1000 };
  const decoder = decoderOf(limits);
  const { fields } = decoder.decode(Buffer.concat([sizeUpdate(1000), indexed(20)]));
  assert.deepEqual(fields, ["access-control-allow-origin", ""]);
  assert.deepEqual(decoder.decode(sizeUpdate(0)).fields, []);
  assert.throws(() => decoderOf(limits).decode(sizeUpdate(1001)), HpackError);
  assert.throws(() => decoderOf({ tableBytes: 0 }).decode(sizeUpdate(1)), HpackError);
  refuses(/size update after a field/, indexed(2), sizeUpdate(100));
  refuses(/size update after a field/, passing("a", "b"), sizeUpdate(100), indexed(2));
});

test("several size updates in a row: the smallest evicts, the last one counts", () => {
  const decoder = decoderOf();
  decoder.decode(Buffer.concat([inserting("a", "1"), inserting("b", "2"), inserting("c", "3")]));
  // Room for two entries of 34 bytes, then for many again.
  decoder.decode(Buffer.concat([sizeUpdate(68), sizeUpdate(4096)]));
  assert.deepEqual(decoder.decode(Buffer.concat([indexed(62), indexed(63)])).fields, [
    ...["c", "3", "b", "2"],
  ]);
  decoder.decode(Buffer.concat([inserting("d", "4"), inserting("e", "5")]));
  const all = [62, 63, 64, 65].map(indexed);
  assert.deepEqual(decoder.decode(Buffer.concat(all)).fields, [
    ...["e", "5", "d", "4", "c", "3", "b", "2"],
  ]);
  assert.throws(() => decoder.decode(indexed(66)), HpackError);
});

test("a smaller table evicts the oldest entries, to the byte", () => {
  const fill = [inserting("a", "1"), inserting("b", "2"), inserting("c", "3")];
  for (const [room, left] of [
    [102, 3],
    [101, 2],
    [68, 2],
    [67, 1],
    [34, 1],
    [33, 0],
    [0, 0],
  ] as const) {
    const decoder = decoderOf();
    decoder.decode(Buffer.concat(fill));
    decoder.decode(sizeUpdate(room));
    if (left > 0)
      assert.deepEqual(decoder.decode(indexed(61 + left)).fields[0], ["c", "b", "a"][left - 1]);
    assert.throws(() => decoder.decode(indexed(62 + left)), HpackError);
  }
});

test("an entry larger than the table empties it, and may take its name from what it evicts", () => {
  const decoder = decoderOf();
  decoder.decode(inserting("name", "1"));
  const huge = "x".repeat(4096);
  const block = Buffer.concat([integer(0x40, 6, 62), plain(huge)]);
  assert.deepEqual(decoder.decode(block).fields, ["name", huge]);
  assert.throws(() => decoder.decode(indexed(62)), HpackError);
});

test("the table holds as many entries as have room, over and over", () => {
  const decoder = decoderOf();
  for (let index = 0; index < 1000; index += 1) decoder.decode(inserting("", String(index)));
  // 4096 bytes, 35 for each of the last entries.
  const entries = Math.floor(4096 / 35);
  const all = Array.from({ length: entries }, (_, age) => indexed(62 + age));
  const { fields } = decoder.decode(Buffer.concat(all));
  assert.deepEqual(
    fields.filter((_, at) => at % 2 === 1),
    Array.from({ length: entries }, (_, age) => String(999 - age)),
  );
  assert.throws(() => decoder.decode(indexed(62 + entries)), HpackError);
});

test("the smallest entries fill the table, and a larger table if there is one", () => {
  for (const tableBytes of [4096, 65_536]) {
    const decoder = decoderOf({ tableBytes, listFields: 10_000 });
    const entries = tableBytes / 32;
    const block = Array.from({ length: entries + 5 }, () => inserting("", ""));
    decoder.decode(Buffer.concat([sizeUpdate(tableBytes), ...block]));
    decoder.decode(indexed(61 + entries));
    assert.throws(() => decoder.decode(indexed(62 + entries)), HpackError);
  }
});

test("before a client says otherwise it has the table of the protocol, whatever was announced", () => {
  for (const tableBytes of [0, 100, 65_536]) {
    const decoder = decoderOf({ tableBytes });
    decoder.decode(inserting("a", "x".repeat(4096 - 33 - 34)));
    decoder.decode(inserting("b", "2"));
    assert.equal(decoder.decode(indexed(63)).fields[0], "a");
    decoder.decode(inserting("c", "3"));
    assert.equal(decoder.decode(indexed(63)).fields[0], "b");
    assert.throws(() => decoder.decode(indexed(64)), HpackError);
  }
});

test("a list at its limits is whole, one above them is too large", () => {
  const block = Buffer.concat([indexed(2), passing("a", "12")]);
  // :method GET has 42 bytes, the other 35.
  const exact = { listBytes: 77, listFields: 2 };
  assert.equal(decoderOf(exact).decode(block).isTooLarge, false);
  assert.equal(decoderOf({ ...exact, listBytes: 76 }).decode(block).isTooLarge, true);
  assert.equal(decoderOf({ ...exact, listFields: 1 }).decode(block).isTooLarge, true);
});

test("what goes beyond the limits is read, for the table, and not kept", () => {
  const decoder = decoderOf({ listFields: 2 });
  const block = Buffer.concat([indexed(2), passing("a", "1"), inserting("b", "2"), indexed(4)]);
  assert.deepEqual(decoder.decode(block), {
    pseudo: [":method", "GET"],
    fields: ["a", "1"],
    isTooLarge: true,
  });
  assert.deepEqual(decoder.decode(indexed(62)), {
    pseudo: [],
    fields: ["b", "2"],
    isTooLarge: false,
  });
  assert.throws(() => decoderOf({ listFields: 1 }).decode(Buffer.concat([block, hex("80")])));
});

test("a block that refers to a large entry again and again stays small", () => {
  const decoder = decoderOf({ listBytes: 65_536, listFields: 1000 });
  decoder.decode(inserting("a", "x".repeat(4000)));
  const bomb = decoder.decode(Buffer.alloc(60_000, indexed(62)));
  assert.equal(bomb.isTooLarge, true);
  assert.equal(bomb.fields.length, 2 * Math.floor(65_536 / 4033));
  const tiny = decoder.decode(Buffer.alloc(60_000, indexed(15)));
  assert.equal(tiny.isTooLarge, true);
  assert.equal(tiny.fields.length, 2 * 1000);
});
