import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeHuffman } from "../../../src/http2/huffman.ts";
import { bytesOf, EOS, hex, huffman, HUFFMAN_CODES } from "./blocks.ts";

const decode = (bytes: Buffer) => decodeHuffman(bytes, 0, bytes.length);
const bytes = Array.from({ length: 256 }, (_, byte) => byte);

test("each byte decodes, alone and after and before others", () => {
  for (const byte of bytes) {
    const text = String.fromCharCode(byte);
    assert.equal(decode(huffman(text)), text);
    for (const around of ["0", "aX", "\xff", "~~~"]) {
      assert.equal(decode(huffman(`${around}${text}${around}`)), `${around}${text}${around}`);
    }
  }
});

test("each pair of bytes decodes", () => {
  for (const first of bytes) {
    const text = bytes.map((second) => String.fromCharCode(first, second)).join("");
    assert.equal(decode(huffman(text)), text);
  }
});

test("long texts decode, of the shortest codes and of the longest", () => {
  for (const unit of ["0", "e", "\n", "Hello, world! "]) {
    const text = unit.repeat(20_000 / unit.length);
    assert.equal(decode(huffman(text)), text);
  }
});

test("only what is between start and end is decoded", () => {
  const text = "www.example.com";
  const code = huffman(text);
  const around = Buffer.concat([hex("00ff"), code, hex("ff00")]);
  assert.equal(decodeHuffman(around, 2, 2 + code.length), text);
  assert.equal(decodeHuffman(around, 2, 2), "");
});

test("the padding is the beginning of EOS, of seven bits at most", () => {
  // Codes of 5, 6, 7 and 8 bits leave 3, 2, 1 and no bit; three of five leave one, three of 11 seven.
  for (const text of ["a", "b", "j", "X", "aaa", "|||"]) {
    const digits = [...text].map((char) => HUFFMAN_CODES.get(char.charCodeAt(0))).join("");
    const left = (8 - (digits.length % 8)) % 8;
    assert.equal(decode(bytesOf(digits)), text);
    assert.equal(decode(bytesOf(`${digits}${"1".repeat(left)}11111111`)), undefined);
    for (let zero = 0; zero < left; zero += 1) {
      const padding = `${"1".repeat(zero)}0${"1".repeat(6 - zero)}`;
      const read = decode(bytesOf(digits, padding));
      // With as many bits as a code has the padding may be a symbol.
      assert.ok(read === undefined || (left >= 5 && read.length === text.length + 1), padding);
    }
  }
  assert.equal(decode(hex("ff")), undefined);
  assert.equal(decode(hex("ffffff")), undefined);
});

test("EOS is no part of a text", () => {
  const eos = HUFFMAN_CODES.get(EOS) ?? "";
  assert.equal(decode(bytesOf(eos)), undefined);
  for (const [before, after] of [
    ["a", "a"],
    ["X", ""],
    ["", "X"],
    ["\xff", "aaaaaaaa"],
  ] as const) {
    const code = (text: string) =>
      [...text].map((char) => HUFFMAN_CODES.get(char.charCodeAt(0))).join("");
    assert.equal(decode(bytesOf(`${code(before)}${eos}${code(after)}`)), undefined);
  }
});
