// The frames of a shell's byte stream between host and agent, either way: one byte that says what it is, the length of
// the rest in four bytes, big-endian, and the rest. agent/src/shell_frames.rs is the agent's side.

import { ServiceError } from "../errors.ts";

/** Largest payload. */
export const SHELL_FRAME_LIMIT = 64 * 1024;

export type ShellFrame =
  /** Bytes of the terminal, typed or shown. */
  | { readonly kind: "data"; readonly bytes: Buffer }
  /** How many bytes the other side has sent, in the session's whole life, that need not be sent again. */
  | { readonly kind: "received"; readonly offset: number }
  | { readonly kind: "resize"; readonly columns: number; readonly rows: number }
  /** From the host: the client left for good. From the agent: the shell has exited, and this was all. */
  | { readonly kind: "end" };

const KINDS = ["data", "received", "resize", "end"] as const;
const HEAD_BYTES = 5;

/** The bytes of a frame. */
export function encodeShellFrame(frame: ShellFrame): Buffer {
  const payload = payloadOf(frame);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(KINDS.indexOf(frame.kind), 0);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

function payloadOf(frame: ShellFrame): Buffer {
  const payload = Buffer.alloc(8);
  switch (frame.kind) {
    case "data":
      return frame.bytes;
    case "received":
      payload.writeBigUInt64BE(BigInt(frame.offset));
      return payload;
    case "resize":
      payload.writeUInt16BE(frame.columns, 0);
      payload.writeUInt16BE(frame.rows, 2);
      return payload.subarray(0, 4);
    case "end":
      return payload.subarray(0, 0);
  }
}

/** Cuts a stream into frames, however it arrives. Throws VMM_FAILED for what is none. */
export function createShellFrameReader(): (chunk: Buffer) => ShellFrame[] {
  let pending = Buffer.alloc(0);
  return (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    const frames: ShellFrame[] = [];
    while (pending.length >= HEAD_BYTES) {
      const length = pending.readUInt32BE(1);
      if (length > SHELL_FRAME_LIMIT) throw senseless();
      if (pending.length < HEAD_BYTES + length) break;
      const payload = pending.subarray(HEAD_BYTES, HEAD_BYTES + length);
      frames.push(decode(pending.readUInt8(0), payload));
      pending = pending.subarray(HEAD_BYTES + length);
    }
    return frames;
  };
}

function decode(kind: number, payload: Buffer): ShellFrame {
  const { length } = payload;
  if (kind === 0) return { kind: "data", bytes: payload };
  if (kind === 1 && length === 8)
    return { kind: "received", offset: Number(payload.readBigUInt64BE()) };
  if (kind === 2 && length === 4)
    return { kind: "resize", columns: payload.readUInt16BE(0), rows: payload.readUInt16BE(2) };
  if (kind === 3 && length === 0) return { kind: "end" };
  throw senseless();
}

function senseless(): ServiceError {
  return new ServiceError("VMM_FAILED", "Guest sent a shell frame that makes no sense");
}
