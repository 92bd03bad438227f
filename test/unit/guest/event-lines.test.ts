import assert from "node:assert/strict";
import { test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { LINE_LIMIT, readLines } from "../../../src/guest/event-lines.ts";

async function linesOf(chunks: readonly Uint8Array[]): Promise<string[]> {
  async function* source() {
    yield* chunks;
  }
  return Array.fromAsync(readLines(source()));
}

const bytes = (text: string) => new TextEncoder().encode(text);

test("readLines joins lines that come in pieces, multi-byte characters included", async () => {
  const whole = bytes("héllo\n\nworld\n");
  const pieces = Array.from(whole, (byte) => Uint8Array.of(byte));
  assert.deepEqual(await linesOf(pieces), ["héllo", "", "world"]);
  assert.deepEqual(await linesOf([whole]), ["héllo", "", "world"]);
});

test("readLines drops a last line without an end", async () => {
  assert.deepEqual(await linesOf([bytes("a\nb")]), ["a"]);
});

test("readLines refuses an endless line but not many short ones", async () => {
  const short = bytes("x".repeat(1000) + "\n");
  assert.equal((await linesOf(Array<Uint8Array>(200).fill(short))).length, 200);
  const endless = [new Uint8Array(LINE_LIMIT), Uint8Array.of(65)];
  await assert.rejects(linesOf(endless), (error) => isServiceError(error, "VMM_FAILED"));
});
