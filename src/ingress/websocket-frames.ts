// WebSocket frames (RFC 6455) on the server's side of a stream that the ingress has already upgraded, over HTTP/1.1 or
// HTTP/2 alike. Our own, because libraries bring their own handshake, which only fits HTTP/1.1, and hold a message until
// it is whole; here the bytes of a binary message pass on as they come, so that none is too large.

import { ServiceError } from "../errors.ts";

export type WebSocketEvent =
  /** Bytes of a binary message, where it is cut says nothing. */
  | { readonly kind: "binary"; readonly bytes: Buffer }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "ping"; readonly bytes: Buffer }
  /** The client closes; `code` is 1005 when it did not say why. */
  | { readonly kind: "close"; readonly code: number };

export const CLOSE = {
  normal: 1000,
  goingAway: 1001,
  protocol: 1002,
  badText: 1007,
  tooBig: 1009,
  failed: 1011,
};
/** Largest text message; it is read whole. */
export const TEXT_LIMIT = 64 * 1024;
const CONTROL_LIMIT = 125;
const NO_CODE = 1005;
const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

interface Frame {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly mask: Buffer;
  readonly length: number;
  seen: number;
}

/** Reads a client's frames in whatever pieces they come. */
export class WebSocketReader {
  #head = Buffer.alloc(0);
  #frame: Frame | undefined;
  /** What a fragmented message is of; undefined between messages. */
  #message: "text" | "binary" | undefined;
  #text: Buffer[] = [];
  #textBytes = 0;
  #control: Buffer[] = [];

  /** The events that the chunk completes. Throws VALIDATION_FAILED with `details.closeCode`; nothing can be read after that. */
  push(chunk: Buffer): WebSocketEvent[] {
    const events: WebSocketEvent[] = [];
    let rest = chunk;
    while (rest.length > 0 || this.#isEmptyFrame()) {
      if (this.#frame === undefined) {
        rest = this.#readHead(rest);
        continue;
      }
      const frame = this.#frame;
      const taken = rest.subarray(0, frame.length - frame.seen);
      rest = rest.subarray(taken.length);
      const payload = unmask(taken, frame);
      frame.seen += taken.length;
      const isWhole = frame.seen === frame.length;
      if (isWhole) this.#frame = undefined;
      const event = this.#take(frame, payload, isWhole);
      if (event !== undefined) events.push(event);
    }
    return events;
  }

  #isEmptyFrame(): boolean {
    return this.#frame?.length === 0;
  }

  #readHead(chunk: Buffer): Buffer {
    const head = Buffer.concat([this.#head, chunk.subarray(0, MAX_HEAD_BYTES)]);
    const size = headSize(head);
    if (size === undefined || head.length < size) {
      this.#head = head;
      return chunk.subarray(MAX_HEAD_BYTES);
    }
    const rest = chunk.subarray(size - this.#head.length);
    this.#head = Buffer.alloc(0);
    this.#frame = this.#checked(parseHead(head.subarray(0, size)));
    return rest;
  }

  #checked(frame: Frame): Frame {
    const { opcode, isFinal, length } = frame;
    const isControl = opcode >= OPCODES.close;
    if (!Object.values(OPCODES).includes(opcode)) throw violation("unknown frame");
    if (isControl && (!isFinal || length > CONTROL_LIMIT)) throw violation("bad control frame");
    if (opcode === OPCODES.continuation && this.#message === undefined)
      throw violation("nothing to continue");
    const isStart = opcode === OPCODES.text || opcode === OPCODES.binary;
    if (isStart && this.#message !== undefined) throw violation("message within a message");
    if (isStart) this.#message = opcode === OPCODES.text ? "text" : "binary";
    if (!isControl && this.#message === "text" && this.#textBytes + length > TEXT_LIMIT)
      throw violation("text is too long", CLOSE.tooBig);
    return frame;
  }

  #take(frame: Frame, payload: Buffer, isWhole: boolean): WebSocketEvent | undefined {
    if (frame.opcode >= OPCODES.close) {
      this.#control.push(payload);
      return isWhole ? this.#takeControl(frame.opcode) : undefined;
    }
    const kind = this.#message;
    const isLast = isWhole && frame.isFinal;
    if (isLast) this.#message = undefined;
    if (kind === "binary")
      return payload.length > 0 ? { kind: "binary", bytes: payload } : undefined;
    this.#text.push(payload);
    this.#textBytes += payload.length;
    if (!isLast) return undefined;
    const text = decodeText(Buffer.concat(this.#text));
    this.#text = [];
    this.#textBytes = 0;
    return { kind: "text", text };
  }

  #takeControl(opcode: number): WebSocketEvent | undefined {
    const bytes = Buffer.concat(this.#control);
    this.#control = [];
    if (opcode === OPCODES.ping) return { kind: "ping", bytes };
    if (opcode === OPCODES.pong) return undefined;
    if (bytes.length === 1) throw violation("bad close frame");
    return { kind: "close", code: bytes.length === 0 ? NO_CODE : bytes.readUInt16BE(0) };
  }
}

/** A binary frame for the client. */
export function binaryFrame(bytes: Buffer): Buffer {
  return encodeFrame(OPCODES.binary, bytes);
}

/** A text frame for the client. */
export function textFrame(text: string): Buffer {
  return encodeFrame(OPCODES.text, Buffer.from(text));
}

/** The answer to a ping. */
export function pongFrame(bytes: Buffer): Buffer {
  return encodeFrame(OPCODES.pong, bytes);
}

/** The last frame to the client; the reason must be short. A close without a code is answered by one without. */
export function closeFrame(code: number, reason = ""): Buffer {
  if (code === NO_CODE) return encodeFrame(OPCODES.close, Buffer.alloc(0));
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return encodeFrame(OPCODES.close, Buffer.concat([head, Buffer.from(reason)]));
}

function encodeFrame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  const extra = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + extra);
  head.writeUInt8(0x80 | opcode, 0);
  head.writeUInt8(extra === 0 ? length : extra === 2 ? 126 : 127, 1);
  if (extra === 2) head.writeUInt16BE(length, 2);
  if (extra === 8) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

/** Two bytes, eight of length, four of mask. */
const MAX_HEAD_BYTES = 14;

function headSize(head: Buffer): number | undefined {
  if (head.length < 2) return undefined;
  const second = head.readUInt8(1);
  // Refused at once.
  if ((second & 0x80) === 0) return 2;
  const short = second & 0x7f;
  return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + 4;
}

function parseHead(head: Buffer): Frame {
  const [first, second] = [head.readUInt8(0), head.readUInt8(1)];
  if ((first & 0x70) !== 0) throw violation("reserved bits");
  if ((second & 0x80) === 0) throw violation("frame without a mask");
  const short = second & 0x7f;
  const long = short === 127 ? head.readBigUInt64BE(2) : 0n;
  if (long > BigInt(Number.MAX_SAFE_INTEGER)) throw violation("frame is too long", CLOSE.tooBig);
  return {
    opcode: first & 0x0f,
    isFinal: (first & 0x80) !== 0,
    mask: head.subarray(-4),
    length: short === 127 ? Number(long) : short === 126 ? head.readUInt16BE(2) : short,
    seen: 0,
  };
}

function unmask(bytes: Buffer, { mask, seen }: Frame): Buffer {
  const plain = Buffer.alloc(bytes.length);
  for (let index = 0; index < bytes.length; index += 1)
    plain[index] = (bytes[index] ?? 0) ^ (mask[(seen + index) % 4] ?? 0);
  return plain;
}

function decodeText(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw violation("text is no UTF-8", CLOSE.badText);
  }
}

function violation(what: string, closeCode = CLOSE.protocol): ServiceError {
  return new ServiceError("VALIDATION_FAILED", `Cannot read WebSocket: ${what}`, {
    details: { closeCode },
  });
}
