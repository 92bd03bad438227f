// The server's half of a WebSocket's hand-shake.

import { createHash } from "node:crypto";

const SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455, 4.2.2). */
export function webSocketAccept(key: string): string {
  return createHash("sha1").update(`${key}${SUFFIX}`).digest("base64");
}
