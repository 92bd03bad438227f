// A WebSocket client that sends given bytes and keeps all it gets: what a server makes of frames, also of broken ones.

import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { constants, inflateRawSync } from "node:zlib";
import { type Frame, OPCODES, readFrames } from "./websocket-frames.ts";

/** What came back of a script, to the byte. */
export interface Played {
  readonly frames: readonly Frame[];
  /** Bytes behind the last whole frame. */
  readonly rest: number;
  /** How the connection ended: `end`, or the code of an error. */
  readonly ending: string;
}

export interface Answer {
  readonly opcode: number;
  readonly payload: Buffer;
}

export interface PlayOptions {
  /** What came with the hand-shake. */
  readonly head?: Buffer;
  /** Reads nothing before everything is sent. */
  readonly readsLate?: boolean;
}

/** Sends the pieces, one write each, and reads to the end of the connection. */
export async function play(
  socket: Duplex,
  pieces: readonly Buffer[],
  { head = Buffer.alloc(0), readsLate = false }: PlayOptions = {},
): Promise<Played> {
  const received = [head];
  const read = () => socket.on("data", (chunk: Buffer) => received.push(chunk));
  if (!readsLate) read();
  const ending = new Promise<string>((resolve) => {
    socket.once("end", () => resolve("end"));
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once("close", () => resolve("close"));
  });
  for (const piece of pieces) {
    // A server may have ended before it was sent everything.
    await new Promise<void>((resolve) => socket.write(piece, () => resolve()));
  }
  if (readsLate) read();
  const seen = await ending;
  socket.end();
  if (!socket.closed) await once(socket, "close");
  return { ...readFrames(Buffer.concat(received)), ending: seen };
}

/** The messages and control frames that frames make: fragments joined, compressed ones (RFC 7692) inflated. */
export function answersOf(frames: readonly Frame[]): Answer[] {
  const answers: Answer[] = [];
  const inflate = inflater();
  let open: { opcode: number; isCompressed: boolean; parts: Buffer[] } | undefined;
  for (const { opcode, payload, isFinal, reserved } of frames) {
    if (opcode >= OPCODES.close) {
      answers.push({ opcode, payload });
      continue;
    }
    open ??= { opcode, isCompressed: reserved === 4, parts: [] };
    open.parts.push(payload);
    if (!isFinal) continue;
    const whole = Buffer.concat(open.parts);
    answers.push({ opcode: open.opcode, payload: open.isCompressed ? inflate(whole) : whole });
    open = undefined;
  }
  return answers;
}

/** Messages of one connection are one stream to inflate, whether the server starts each of them anew or not. */
function inflater(): (message: Buffer) => Buffer {
  const tail = Buffer.from("0000ffff", "hex");
  let stream = Buffer.alloc(0);
  let known = 0;
  return (message) => {
    stream = Buffer.concat([stream, message, tail]);
    const all = inflateRawSync(stream, { finishFlush: constants.Z_SYNC_FLUSH });
    const added = all.subarray(known);
    known = all.length;
    return added;
  };
}

/** An answer in a line that can be compared and read, also where it is megabytes. */
export function describeAnswer({ opcode, payload }: Answer): string {
  const isShort = payload.length <= 125;
  const digest = isShort
    ? payload.toString("hex")
    : createHash("sha256").update(payload).digest("hex");
  return `${opcode} ${payload.length} ${digest}`;
}
