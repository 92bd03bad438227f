import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadBuffers } from "../../../src/ingress/read-buffers.ts";

/** More than is copied. */
const CHUNK_BYTES = 20_000;

/** What a connection does: reads the text, and what makes it a large chunk, into the buffer it was told of. */
function read(buffers: ReadBuffers, text: string): Buffer {
  const { next } = buffers;
  return buffers.chunk(next, next.write(text.padEnd(CHUNK_BYTES, "."), "latin1"));
}

const textOf = (bytes: Buffer) => bytes.toString().replace(/\.+$/, "");

test("connections whose chunks are not kept share one buffer", () => {
  const [one, other] = [new ReadBuffers(), new ReadBuffers()];
  assert.equal(textOf(read(one, "hello")), "hello");
  assert.equal(one.next, other.next);
});

test("a chunk that is kept is not overwritten by this connection or another", () => {
  const [one, other] = [new ReadBuffers(), new ReadBuffers()];
  const kept = [one.keep(read(one, "first")), one.keep(read(one, "second"))];
  kept.push(other.keep(read(other, "third")));
  one.share();
  other.share();
  for (const each of [one, other]) read(each, "xxxxxxxx");
  assert.deepEqual(
    kept.map(({ bytes }) => textOf(bytes)),
    ["first", "second", "third"],
  );
});

test("a part of a chunk is kept as it is", () => {
  const buffers = new ReadBuffers();
  buffers.keep(read(buffers, "head"));
  const { bytes } = buffers.keep(read(buffers, "body").subarray(0, CHUNK_BYTES - 1));
  read(buffers, "xxxxxxxxxxxxx");
  assert.equal(bytes.toString(), "body".padEnd(CHUNK_BYTES - 1, "."));
});

test("a released buffer is read into again, and not before", () => {
  const buffers = new ReadBuffers();
  buffers.keep(read(buffers, "first"));
  const second = buffers.keep(read(buffers, "second"));
  const other = new ReadBuffers();
  const taken = other.keep(read(other, "third"));
  assert.notEqual(taken.bytes.buffer, second.bytes.buffer);
  second.release();
  taken.release();
  const third = new ReadBuffers();
  const again = third.keep(read(third, "fourth"));
  assert.ok([second, taken].some(({ bytes }) => bytes.buffer === again.bytes.buffer));
});

test("after a body the shared buffer is read into", () => {
  const buffers = new ReadBuffers();
  const shared = buffers.next;
  buffers.keep(read(buffers, "body"));
  assert.notEqual(buffers.next, shared);
  buffers.share();
  assert.equal(buffers.next, shared);
});

test("a small chunk takes no buffer of its own, however many wait", () => {
  const buffers = new ReadBuffers();
  const { next } = buffers;
  const kept = ["a", "b", "c"].map((text) =>
    buffers.keep(buffers.chunk(next, next.write(text, "latin1"))),
  );
  assert.equal(buffers.next, next);
  assert.deepEqual(
    kept.map(({ bytes }) => bytes.toString()),
    ["a", "b", "c"],
  );
});
