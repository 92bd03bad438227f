// Frames of HTTP/2 by hand, for clients that do what no library lets them do.

import type { Duplex } from "node:stream";

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const [DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY] = [
  0, 1, 2, 3, 4, 5, 6, 7,
] as const;
export const [WINDOW_UPDATE, CONTINUATION] = [8, 9] as const;
export const [END_STREAM, ACK, END_HEADERS, PADDED] = [1, 1, 4, 8] as const;

export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export type Fields = (readonly [string, string])[];

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A payload that is one number of 32 bits. */
export function number(value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return payload;
}

/** A SETTINGS frame of one setting. */
export function setting(id: number, value: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(id);
  payload.writeUInt32BE(value, 2);
  return frame(SETTINGS, 0, 0, payload);
}

/** A length of HPACK with a prefix of seven bits. */
function hpackLength(length: number): number[] {
  if (length < 127) return [length];
  const bytes = [127];
  let rest = length - 127;
  for (; rest >= 128; rest >>= 7) bytes.push((rest & 127) | 128);
  return [...bytes, rest];
}

/** The fields in HPACK, literally. */
export function hpack(fields: Fields): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [
      Buffer.from([0, ...hpackLength(name.length)]),
      Buffer.from(name, "latin1"),
      Buffer.from(hpackLength(value.length)),
      Buffer.from(value, "latin1"),
    ]),
  );
}

/** The frames that come, until the connection ends in whatever way. */
export async function* framesOf(socket: Duplex): AsyncGenerator<ReceivedFrame> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      rest = Buffer.concat([rest, chunk as Buffer]);
      while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
        const end = 9 + rest.readUIntBE(0, 3);
        const [type, flags, stream] = [rest.readUInt8(3), rest.readUInt8(4), rest.readUInt32BE(5)];
        const payload = rest.subarray(9, end);
        rest = rest.subarray(end);
        yield { type, flags, stream, payload };
      }
    }
  } catch (error) {
    // The end of a hostile connection may be abrupt.
    if (!(error instanceof Error)) throw error;
  }
}
