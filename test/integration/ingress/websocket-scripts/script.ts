// What a script of bytes is, and the two ways in which one ends: by the client's own close, or by the server's for a fault.

import type { Answer } from "../../../support/raw-websocket.ts";
import {
  clientFrame,
  closePayload,
  type FrameChanges,
  OPCODES,
} from "../../../support/websocket-frames.ts";

export interface Script {
  readonly name: string;
  /** Written one after the other; a piece may end in the middle of a frame. */
  readonly pieces: readonly Buffer[];
  /** What an echo server says to it, the close frame last. */
  readonly answers: readonly Answer[];
  /** Whether the client reads only when it has sent everything. */
  readonly readsLate?: boolean;
  /** The `Sec-WebSocket-Extensions` offered. */
  readonly extensions?: string;
}

type Payload = Buffer | string;

export const text = (payload: Payload, changes?: FrameChanges) =>
  clientFrame(OPCODES.text, payload, changes);
export const binary = (payload: Payload, changes?: FrameChanges) =>
  clientFrame(OPCODES.binary, payload, changes);
export const more = (payload: Payload, changes?: FrameChanges) =>
  clientFrame(OPCODES.continuation, payload, changes);
export const ping = (payload: Payload = "", changes?: FrameChanges) =>
  clientFrame(OPCODES.ping, payload, changes);
export const pong = (payload: Payload = "", changes?: FrameChanges) =>
  clientFrame(OPCODES.pong, payload, changes);
export const close = (payload: Payload = closePayload(1000)) => clientFrame(OPCODES.close, payload);

const answer = (opcode: number) => (payload: Payload) => ({
  opcode,
  payload: Buffer.from(payload),
});
export const ECHO = {
  text: answer(OPCODES.text),
  binary: answer(OPCODES.binary),
  pong: answer(OPCODES.pong),
  close: answer(OPCODES.close),
};

/** Part of a message: another frame follows. */
export const OPEN: FrameChanges = { isFinal: false };

/** A script without a fault, which the client closes with 1000. */
export function good(
  name: string,
  pieces: readonly Buffer[],
  answers: readonly Answer[] = [],
): Script {
  const ends = ECHO.close(closePayload(1000));
  return { name, pieces: [...pieces, close()], answers: [...answers, ends] };
}

/** A script with a fault, for which the server closes with `code`; `answers` are those to what came before it. */
export function bad(
  name: string,
  code: number,
  pieces: readonly Buffer[],
  answers: readonly Answer[] = [],
): Script {
  return { name, pieces, answers: [...answers, ECHO.close(closePayload(code))] };
}

/** The same bytes in pieces of that size. */
export function chopped(size: number, ...frames: readonly Buffer[]): Buffer[] {
  const bytes = Buffer.concat(frames);
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_none, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
}

/** Bytes of all values, of that length. */
export function pattern(length: number): Buffer {
  return Buffer.from(
    Uint8Array.from({ length }, (_none, index) => (index * 7 + (index >> 8)) & 0xff),
  );
}
