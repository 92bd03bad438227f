// Takes uploads for `bench ingress`: reads each body to its end, then answers.

import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

export interface Sink extends AsyncDisposable {
  readonly port: number;
}

const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/** Listens on a free port of 127.0.0.1 for requests that say the length of their body. */
export async function startSink(): Promise<Sink> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // A proxy may hang up in any way.
    socket.on("error", () => socket.destroy());
    swallow(socket);
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

function swallow(socket: Socket): void {
  let head = "";
  let left: number | undefined;
  socket.on("data", (chunk: Buffer) => {
    let bytes = chunk.length;
    if (left === undefined) {
      const before = head.length;
      head += chunk.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      left = Number(/^content-length: *(\d+)\r$/im.exec(head)?.[1] ?? 0);
      bytes -= end + 4 - before;
    }
    left -= bytes;
    if (left > 0) return;
    left = undefined;
    head = "";
    socket.write(ANSWER);
  });
}
