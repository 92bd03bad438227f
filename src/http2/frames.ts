// Frames of HTTP/2 (RFC 9113, 4.1): cut out of what comes, and put together.

import { CODE, ConnectionError, FLAG, FRAME } from "./codes.ts";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export const FRAME_HEAD_BYTES = 9;
/** Of a payload, in either direction: what everybody takes, and what is more we have not announced to take. */
export const MAX_PAYLOAD_BYTES = 16_384;
const NOTHING = Buffer.alloc(0);

/** Cuts what comes from a client into frames, of which one is kept at most. */
export class FrameReader {
  #rest: Buffer = NOTHING;

  /** Hands each whole frame to `take`, until that says false. Throws ConnectionError for one that is too large. */
  push(chunk: Buffer, take: (frame: Frame) => boolean): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = 0;
    while (bytes.length - at >= FRAME_HEAD_BYTES) {
      const length = bytes.readUIntBE(at, 3);
      if (length > MAX_PAYLOAD_BYTES)
        throw new ConnectionError(CODE.frameSizeError, "Frame is too large");
      const start = at + FRAME_HEAD_BYTES;
      const end = start + length;
      if (end > bytes.length) break;
      const frame = {
        type: bytes[at + 3] ?? 0,
        flags: bytes[at + 4] ?? 0,
        streamId: bytes.readUInt32BE(at + 5) & 0x7fffffff,
        payload: bytes.subarray(start, end),
      };
      at = end;
      if (!take(frame)) break;
    }
    this.#rest = at < bytes.length ? bytes.subarray(at) : NOTHING;
  }
}

/** Writes what comes before a payload of `length` bytes; returns where that begins. */
export function writeFrameHead(
  target: Buffer,
  offset: number,
  length: number,
  { type, flags, streamId }: Omit<Frame, "payload">,
): number {
  target[offset] = length >> 16;
  target[offset + 1] = length >> 8;
  target[offset + 2] = length;
  target[offset + 3] = type;
  target[offset + 4] = flags;
  target[offset + 5] = streamId >> 24;
  target[offset + 6] = streamId >> 16;
  target[offset + 7] = streamId >> 8;
  target[offset + 8] = streamId;
  return offset + FRAME_HEAD_BYTES;
}

/** A frame in one piece. */
export function frameOf(
  type: number,
  flags: number,
  streamId: number,
  payload: Buffer = NOTHING,
): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payload.length);
  payload.copy(frame, writeFrameHead(frame, 0, payload.length, { type, flags, streamId }));
  return frame;
}

/** A frame whose payload is one number of 32 bits: WINDOW_UPDATE and RST_STREAM. */
export function numberFrame(type: number, streamId: number, value: number): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + 4);
  frame.writeUInt32BE(value, writeFrameHead(frame, 0, 4, { type, flags: 0, streamId }));
  return frame;
}

/** Tells the last stream that was taken and why no more are. */
export function goawayFrame(lastStreamId: number, code: number): Buffer {
  const payload = Buffer.allocUnsafe(8);
  payload.writeUInt32BE(lastStreamId, 0);
  payload.writeUInt32BE(code, 4);
  return frameOf(FRAME.goaway, 0, 0, payload);
}

/** A header block as HEADERS and, where it is long, CONTINUATION. */
export function headerFrames(streamId: number, block: Buffer, isEnd: boolean): Buffer {
  const endFlag = isEnd ? FLAG.endStream : 0;
  if (block.length <= MAX_PAYLOAD_BYTES)
    return frameOf(FRAME.headers, endFlag | FLAG.endHeaders, streamId, block);
  const frames: Buffer[] = [];
  for (let at = 0; at < block.length; at += MAX_PAYLOAD_BYTES) {
    const part = block.subarray(at, at + MAX_PAYLOAD_BYTES);
    const isLast = at + MAX_PAYLOAD_BYTES >= block.length;
    const flags = (at === 0 ? endFlag : 0) | (isLast ? FLAG.endHeaders : 0);
    frames.push(frameOf(at === 0 ? FRAME.headers : FRAME.continuation, flags, streamId, part));
  }
  return Buffer.concat(frames);
}

/** The payload without its padding. Throws ConnectionError when there is more padding than payload (RFC 9113, 6.1). */
export function withoutPadding({ flags, payload }: Frame): Buffer {
  if ((flags & FLAG.padded) === 0) return payload;
  const padding = payload[0];
  if (padding === undefined) throw new ConnectionError(CODE.frameSizeError, "Frame is too short");
  if (padding >= payload.length)
    throw new ConnectionError(CODE.protocolError, "Padding is longer than its frame");
  return payload.subarray(1, payload.length - padding);
}
