// Applications of `bench ingress` that are part of the bench's own process.

import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

/** Disposing it ends its connections. */
export interface TcpServer extends AsyncDisposable {
  readonly port: number;
}

/** Listens on a free port of 127.0.0.1. */
export async function startTcpServer(serve: (socket: Socket) => void): Promise<TcpServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // A proxy may hang up in any way.
    socket.on("error", () => socket.destroy());
    serve(socket);
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
