// WebSocket messages for `bench ingress`: an application that echoes, and clients that each have one message on its way.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { connect } from "node:tls";
import type { LoadTarget } from "./ingress-load.ts";

export interface Echo extends AsyncDisposable {
  readonly port: number;
}

export interface MessageRates {
  readonly count: number;
  readonly perSecond: number;
}

const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const PAYLOAD_BYTES = 64;
const HEAD_END = "\r\n\r\n";

/** Listens on a free port of 127.0.0.1. Frames come back as they were sent, masked: what is measured does not look into them. */
export async function startEcho(): Promise<Echo> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // A proxy may hang up in any way.
    socket.on("error", () => socket.destroy());
    socket.once("data", (head: Buffer) => {
      const key = /^sec-websocket-key: *(\S+)\r$/im.exec(head.toString("latin1"))?.[1] ?? "";
      const accept = createHash("sha1").update(`${key}${ACCEPT_SUFFIX}`).digest("base64");
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}${HEAD_END}`,
      );
      socket.pipe(socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
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
