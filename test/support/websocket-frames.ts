// WebSocket frames as bytes (RFC 6455, 5.2), for a client that must also be able to send broken ones.

export const OPCODES = {
  ...{ continuation: 0, text: 1, binary: 2 },
  ...{ close: 8, ping: 9, pong: 10 },
} as const;

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
  readonly isFinal: boolean;
  /** The three reserved bits as a number; 4 is the first, which says "compressed". */
  readonly reserved: number;
}

export interface FrameChanges extends Partial<Omit<Frame, "opcode" | "payload">> {
  /** Clients must mask; one that does not leaves the mask out. */
  readonly isMasked?: boolean;
  /** Of these many bytes the length is written, also where fewer would do. */
  readonly lengthBytes?: 0 | 2 | 8;
}

const MASK = Buffer.from("37fa213d", "hex");

/** A frame as clients send it, unless `changes` make it another. */
export function clientFrame(
  opcode: number,
  payload: Buffer | string = "",
  changes: FrameChanges = {},
): Buffer {
  const { isFinal = true, reserved = 0, isMasked = true } = changes;
  const body = Buffer.from(payload);
  const lengthBytes = changes.lengthBytes ?? shortest(body.length);
  const head = Buffer.alloc(2 + lengthBytes);
  const length = lengthBytes === 0 ? body.length : lengthBytes === 2 ? 126 : 127;
  head.writeUInt8((isFinal ? 0x80 : 0) | (reserved << 4) | opcode, 0);
  head.writeUInt8((isMasked ? 0x80 : 0) | length, 1);
  if (lengthBytes === 2) head.writeUInt16BE(body.length, 2);
  if (lengthBytes === 8) head.writeBigUInt64BE(BigInt(body.length), 2);
  if (!isMasked) return Buffer.concat([head, body]);
  const masked = body.map((byte, index) => byte ^ (MASK[index % 4] ?? 0));
  return Buffer.concat([head, MASK, masked]);
}

function shortest(length: number): 0 | 2 | 8 {
  if (length < 126) return 0;
  return length < 65_536 ? 2 : 8;
}

/** The payload of a close frame. */
export function closePayload(code: number, reason: Buffer | string = ""): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(code);
  return Buffer.concat([bytes, Buffer.from(reason)]);
}

/** The server's frames that are whole in `bytes`, and how many bytes are left behind the last one. */
export function readFrames(bytes: Buffer): { readonly frames: Frame[]; readonly rest: number } {
  const frames: Frame[] = [];
  let at = 0;
  for (;;) {
    const length = payloadLength(bytes, at);
    if (length === undefined || at + length.head + length.payload > bytes.length) break;
    const first = bytes[at] ?? 0;
    frames.push({
      opcode: first & 0x0f,
      isFinal: (first & 0x80) !== 0,
      reserved: (first >> 4) & 7,
      payload: bytes.subarray(at + length.head, at + length.head + length.payload),
    });
    at += length.head + length.payload;
  }
  return { frames, rest: bytes.length - at };
}

function payloadLength(bytes: Buffer, at: number): { head: number; payload: number } | undefined {
  const length = bytes[at + 1];
  if (length === undefined) return undefined;
  const head = length < 126 ? 2 : length === 126 ? 4 : 10;
  if (at + head > bytes.length) return undefined;
  if (head === 2) return { head, payload: length };
  if (head === 4) return { head, payload: bytes.readUInt16BE(at + 2) };
  return { head, payload: Number(bytes.readBigUInt64BE(at + 2)) };
}
