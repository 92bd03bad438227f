// Takes uploads for `bench ingress`: reads each body to its end, then answers.

import type { Socket } from "node:net";
import { startTcpServer, type TcpServer } from "./tcp-server.ts";

const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/** Takes requests that say the length of their body. */
export function startSink(): Promise<TcpServer> {
  return startTcpServer(swallow);
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
