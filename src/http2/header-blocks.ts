// Header blocks put together from HEADERS and CONTINUATION (RFC 9113, 4.3): nothing else may come between them.

import { CODE, ConnectionError, FLAG, FRAME } from "./codes.ts";
import { type Frame, withoutPadding } from "./frames.ts";

/** A whole block, and what came with it. */
export interface HeaderBlock {
  readonly streamId: number;
  readonly bytes: Buffer;
  /** Nothing of the stream follows. */
  readonly isEnd: boolean;
  /** The stream is said to depend on itself. */
  readonly isBroken: boolean;
}

/** Packed; what it may unpack to is bounded apart from that. */
const MAX_BLOCK_BYTES = 64 * 1024;
const MAX_FRAGMENTS = 64;
const PRIORITY_BYTES = 5;

export class HeaderBlocks {
  #open: { readonly first: HeaderBlock; readonly parts: Buffer[]; bytes: number } | undefined;

  /** Throws ConnectionError unless the frame may come now. */
  check({ type, streamId }: Frame): void {
    const isContinuation = type === FRAME.continuation;
    const isExpected =
      this.#open === undefined
        ? !isContinuation
        : isContinuation && streamId === this.#open.first.streamId;
    if (!isExpected) throw new ConnectionError(CODE.protocolError, "Header block is torn apart");
  }

  /** Takes a frame that was checked; the block when it was the last of it. Throws ConnectionError. */
  take(frame: Frame): HeaderBlock | undefined {
    const isLast = (frame.flags & FLAG.endHeaders) !== 0;
    const open = this.#open;
    if (open === undefined) {
      const first = readFirst(frame);
      if (isLast) return first;
      this.#open = { first, parts: [first.bytes], bytes: first.bytes.length };
      return undefined;
    }
    open.parts.push(frame.payload);
    open.bytes += frame.payload.length;
    if (open.bytes > MAX_BLOCK_BYTES || open.parts.length > MAX_FRAGMENTS)
      throw new ConnectionError(CODE.enhanceYourCalm, "Header block is too large");
    if (!isLast) return undefined;
    this.#open = undefined;
    return { ...open.first, bytes: Buffer.concat(open.parts) };
  }
}

function readFirst(frame: Frame): HeaderBlock {
  const { streamId, flags } = frame;
  const payload = withoutPadding(frame);
  const isEnd = (flags & FLAG.endStream) !== 0;
  if ((flags & FLAG.priority) === 0) return { streamId, bytes: payload, isEnd, isBroken: false };
  if (payload.length < PRIORITY_BYTES)
    throw new ConnectionError(CODE.frameSizeError, "Frame is too short");
  const isBroken = dependencyOf(payload) === streamId;
  return { streamId, bytes: payload.subarray(PRIORITY_BYTES), isEnd, isBroken };
}

/** The stream that a priority names; of priorities no more is made (RFC 9113, 5.3.2). */
function dependencyOf(payload: Buffer): number {
  return payload.readUInt32BE(0) & 0x7fffffff;
}

/** Throws ConnectionError for a PRIORITY frame that is none. */
export function checkPriority({ streamId, payload }: Frame): void {
  if (payload.length !== PRIORITY_BYTES)
    throw new ConnectionError(CODE.frameSizeError, "PRIORITY has a broken length");
  if (dependencyOf(payload) === streamId)
    throw new ConnectionError(CODE.protocolError, "Stream depends on itself");
}
