import assert from "node:assert/strict";
import { test } from "node:test";
import { CODE, FLAG, FRAME } from "../../../src/http2/codes.ts";
import {
  type Frame,
  FrameReader,
  frameOf,
  goawayFrame,
  headerFrames,
  MAX_PAYLOAD_BYTES,
  numberFrame,
  withoutPadding,
} from "../../../src/http2/frames.ts";

function readAll(chunks: readonly Buffer[]): Frame[] {
  const reader = new FrameReader();
  const frames: Frame[] = [];
  for (const chunk of chunks) reader.push(chunk, (frame) => frames.push(frame) > 0);
  return frames;
}

const plain = (frames: readonly Frame[]) =>
  frames.map(({ type, flags, streamId, payload }) => [type, flags, streamId, payload.toString()]);

test("frames are read alike however they come", () => {
  const bytes = Buffer.concat([
    frameOf(FRAME.data, FLAG.endStream, 1, Buffer.from("hello")),
    frameOf(FRAME.settings, 0, 0),
    frameOf(FRAME.data, 0, 2 ** 31 - 1, Buffer.from("x".repeat(300))),
  ]);
  const whole = plain(readAll([bytes]));
  assert.deepEqual(whole, [
    [FRAME.data, FLAG.endStream, 1, "hello"],
    [FRAME.settings, 0, 0, ""],
    [FRAME.data, 0, 2 ** 31 - 1, "x".repeat(300)],
  ]);
  for (const size of [1, 2, 7, 8, 9, 10, 100]) {
    const count = Math.ceil(bytes.length / size);
    const chunks = Array.from({ length: count }, (_, at) => bytes.subarray(at * size, ++at * size));
    assert.deepEqual(plain(readAll(chunks)), whole, `chunks of ${size}`);
  }
});

test("the reserved bit of a stream's number is not looked at", () => {
  const bytes = frameOf(FRAME.ping, 0, 0, Buffer.alloc(8));
  bytes[5] = 0x80;
  assert.equal(readAll([bytes])[0]?.streamId, 0);
});

test("a frame as large as may be is read, a larger one ends the connection before it is there", () => {
  const largest = frameOf(FRAME.data, 0, 1, Buffer.alloc(MAX_PAYLOAD_BYTES));
  assert.equal(readAll([largest])[0]?.payload.length, MAX_PAYLOAD_BYTES);
  const head = frameOf(FRAME.data, 0, 1, Buffer.alloc(MAX_PAYLOAD_BYTES + 1)).subarray(0, 9);
  assert.throws(() => readAll([head]), { name: "ConnectionError", code: CODE.frameSizeError });
});

test("nothing is read after the one who takes frames has enough", () => {
  const one = frameOf(FRAME.ping, 0, 0, Buffer.alloc(8));
  let count = 0;
  new FrameReader().push(Buffer.concat([one, one, one]), () => ++count < 2);
  assert.equal(count, 2);
});

test("padding is taken off, and is never longer than its frame", () => {
  const padded = (payload: number[]) =>
    withoutPadding({
      ...{ type: FRAME.data, flags: FLAG.padded, streamId: 1, payload: Buffer.from(payload) },
    });
  assert.deepEqual([...padded([2, 7, 8, 0, 0])], [7, 8]);
  assert.deepEqual([...padded([0])], []);
  assert.throws(() => padded([1]), { code: CODE.protocolError });
  assert.throws(() => padded([]), { code: CODE.frameSizeError });
});

test("a header block is cut where a frame is full", () => {
  const sizes = (length: number) =>
    readAll([headerFrames(3, Buffer.alloc(length), true)]).map((frame) => [
      ...[frame.type, frame.flags, frame.payload.length],
    ]);
  const whole = FLAG.endStream | FLAG.endHeaders;
  assert.deepEqual(sizes(0), [[FRAME.headers, whole, 0]]);
  assert.deepEqual(sizes(MAX_PAYLOAD_BYTES), [[FRAME.headers, whole, MAX_PAYLOAD_BYTES]]);
  assert.deepEqual(sizes(MAX_PAYLOAD_BYTES + 1), [
    [FRAME.headers, FLAG.endStream, MAX_PAYLOAD_BYTES],
    [FRAME.continuation, FLAG.endHeaders, 1],
  ]);
});

test("numbers go out with their highest bytes first", () => {
  const [update] = readAll([numberFrame(FRAME.windowUpdate, 5, 0x01020304)]);
  assert.deepEqual([...(update?.payload ?? [])], [1, 2, 3, 4]);
  const [goaway] = readAll([goawayFrame(2 ** 31 - 1, CODE.enhanceYourCalm)]);
  assert.deepEqual([...(goaway?.payload ?? [])], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11]);
});
