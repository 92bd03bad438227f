// WebSocket messages for `bench ingress`: an application that echoes, and clients that each have one message on its way.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { connect } from "node:tls";
import { webSocketAccept } from "../src/ingress/websocket-accept.ts";
import type { LoadTarget } from "./ingress-load.ts";
import { startTcpServer, type TcpServer } from "./tcp-server.ts";

export interface MessageRates {
  readonly count: number;
  readonly perSecond: number;
}

const PAYLOAD_BYTES = 64;
const HEAD_END = "\r\n\r\n";

/** Frames come back as they were sent, masked: what is measured does not look into them. */
export function startEcho(): Promise<TcpServer> {
  return startTcpServer((socket) => {
    socket.once("data", (head: Buffer) => {
      const key = /^sec-websocket-key: *(\S+)\r$/im.exec(head.toString("latin1"))?.[1] ?? "";
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${webSocketAccept(key)}${HEAD_END}`,
      );
      socket.pipe(socket);
    });
  });
}

/** Sends and awaits messages for `seconds` on so many connections. Rejects when one of them fails. */
export async function loadMessages(
  target: LoadTarget,
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<MessageRates> {
  const opened = await Promise.all(Array.from({ length: connections }, () => open(target)));
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
  const counts = await Promise.all(opened.map((socket) => exchange(socket, until)));
  const took = (performance.now() - startedAt) / 1000;
  const count = counts.reduce((sum, one) => sum + one, 0);
  return { count, perSecond: count / took };
}

async function open({ port, fields }: LoadTarget): Promise<Socket> {
  // The certificate is of the bench's own making, for another name.
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  socket.setNoDelay(true);
  const lines = [
    ...["GET /echo HTTP/1.1", `Host: localhost:${port}`, ...fields],
    ...["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
    `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
  ];
  socket.write(`${lines.join("\r\n")}${HEAD_END}`);
  const [head] = (await once(socket, "data")) as [Buffer];
  const text = head.toString("latin1");
  if (!text.startsWith("HTTP/1.1 101 ") || !text.endsWith(HEAD_END))
    throw new Error(`No WebSocket: ${text}`);
  return socket;
}

/** The number of messages that came back. */
async function exchange(socket: Socket, until: number): Promise<number> {
  const frame = maskedFrame(randomBytes(PAYLOAD_BYTES));
  let [count, received] = [0, 0];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
    if (received < frame.length) return;
    received = 0;
    count += 1;
    if (performance.now() < until) socket.write(frame);
    else resolve();
  });
  socket.once("error", reject);
  socket.once("close", () => reject(new Error("A WebSocket was closed")));
  socket.write(frame);
  await promise;
  socket.destroy();
  return count;
}

/** A whole binary message (RFC 6455, 5.2) with a mask of zeros. */
function maskedFrame(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x82, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}
