import assert from "node:assert/strict";
import { test } from "node:test";
import { HpackDecoder } from "../../../src/http2/hpack-decoder.ts";
import { encodedSizeAtMost, encodeFields, writeFields } from "../../../src/http2/hpack-encoder.ts";
import { hex, indexed, integer, passing, plain } from "./blocks.ts";

const RESPONSE = [
  ...[":status", "200"],
  ...["content-type", "application/json"],
  ...["content-length", "1234"],
  ...["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
  ...["x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e"],
  ...["set-cookie", "id=1; Secure"],
  ...["set-cookie", ""],
  ...["vary", ""],
];

function decoded(block: Buffer): string[] {
  const decoder = new HpackDecoder({ tableBytes: 0, listBytes: 1 << 22, listFields: 1000 });
  const { pseudo, fields } = decoder.decode(block);
  return [...pseudo, ...fields];
}

test("a field of the static table is one byte", () => {
  assert.deepEqual(encodeFields([":status", "200"]), hex("88"));
  assert.deepEqual(encodeFields([":status", "204", ":status", "500"]), hex("89 8e"));
  assert.deepEqual(encodeFields([":method", "POST", ":path", "/index.html"]), hex("83 85"));
  assert.deepEqual(encodeFields(["accept-encoding", "gzip, deflate"]), hex("90"));
  assert.deepEqual(encodeFields(["vary", "", "www-authenticate", ""]), hex("bb bd"));
});

test("any other value is a literal, with an index for a name of the static table", () => {
  assert.deepEqual(encodeFields([":status", "201"]), hex("08 03 323031"));
  assert.deepEqual(encodeFields(["accept-encoding", "br"]), hex("0f01 02 6272"));
  assert.deepEqual(encodeFields(["accept-charset", "a"]), hex("0f00 01 61"));
  assert.deepEqual(encodeFields(["www-authenticate", "a"]), hex("0f2e 01 61"));
  assert.deepEqual(encodeFields(["x-a", "b"]), hex("00 03 782d61 01 62"));
  assert.deepEqual(encodeFields(["x-a", ""]), hex("00 03 782d61 00"));
  assert.deepEqual(encodeFields(["", ""]), hex("00 00 00"));
});

test("what must stay secret is never indexed", () => {
  assert.deepEqual(encodeFields(["set-cookie", "a=b"]), hex("1f28 03 613d62"));
  assert.deepEqual(encodeFields(["authorization", "x"]), hex("1f08 01 78"));
  assert.deepEqual(encodeFields(["authorization", ""]), hex("1f08 00"));
});

test("lengths of any size are written as RFC 7541 has them", () => {
  for (const length of [0, 1, 12, 13, 126, 127, 128, 254, 255, 256, 16_510, 16_511, 100_000]) {
    const text = "a".repeat(length);
    assert.deepEqual(encodeFields(["x", text]), passing("x", text), String(length));
    assert.deepEqual(encodeFields([text, "x"]), passing(text, "x"), String(length));
  }
});

test("what is encoded decodes to the same", () => {
  assert.deepEqual(decoded(encodeFields(RESPONSE)), RESPONSE);
  assert.deepEqual(encodeFields([]), Buffer.alloc(0));
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte));
  const bytes = Array.from(all).flatMap((char) => [`x${char}`, char]);
  assert.deepEqual(decoded(encodeFields([...bytes, "all", all])), [...bytes, "all", all]);
});

test("fields can be written behind something else, within the size that was told", () => {
  const size = encodedSizeAtMost(RESPONSE);
  const target = Buffer.alloc(9 + size + 9, 0xee);
  const end = writeFields(target, 9, RESPONSE);
  assert.deepEqual(target.subarray(9, end), encodeFields(RESPONSE));
  assert.ok(end <= 9 + size);
  assert.ok(
    [...target.subarray(0, 9), ...target.subarray(9 + size)].every((byte) => byte === 0xee),
  );
});

test("the size that is told suffices for the fields that need most beside their text", () => {
  for (const length of [0, 126, 127, 255, 16_511, 2_113_663]) {
    const text = "a".repeat(length);
    const fields = [text, text, "set-cookie", text, ":status", "200"];
    assert.ok(encodeFields(fields).length <= encodedSizeAtMost(fields));
    const parts = [passing(text, text), integer(0x10, 4, 55), plain(text), indexed(8)];
    assert.deepEqual(encodeFields(fields), Buffer.concat(parts));
  }
});
