// An agent whose shells are the test's: it speaks the real protocol over real connections, and says what it was sent.

import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import {
  createShellFrameReader,
  encodeShellFrame,
  type ShellFrame,
} from "../../../src/guest/shell-frames.ts";

export interface FakeShellAgent extends AsyncDisposable {
  readonly port: number;
  /** Path and query of every upgrade, in order. */
  readonly attaches: string[];
  readonly frames: ShellFrame[];
  /** Everything typed into it, as one text. */
  typed(): string;
  /** The newest connection. */
  socket(): Socket;
  send(...frames: ShellFrame[]): void;
  /** How the next upgrades are answered. */
  answer: { status: number; message: string; input: number };
  /** Whether input is confirmed as it comes. */
  isConfirming: boolean;
}

/** Starts one on loopback. */
export async function startFakeShellAgent(): Promise<FakeShellAgent> {
  const sockets: Socket[] = [];
  const frames: ShellFrame[] = [];
  const attaches: string[] = [];
  const answer = { status: 101, message: "", input: 0 };
  let input = 0;
  const send = (...sent: ShellFrame[]) => {
    for (const frame of sent) sockets.at(-1)?.write(encodeShellFrame(frame));
  };
  const server = createServer();
  server.on("upgrade", (request: IncomingMessage, socket: Socket) => {
    attaches.push(request.url ?? "");
    socket.on("error", () => undefined);
    if (answer.status !== 101) {
      const body = JSON.stringify({ message: answer.message });
      socket.end(
        `HTTP/1.1 ${answer.status} No\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
      );
      return;
    }
    sockets.push(socket);
    input = answer.input;
    const read = createShellFrameReader();
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: torpor-shell\r\nx-torpor-shell-input: ${input}\r\n\r\n`,
    );
    socket.on("data", (chunk: Buffer) => {
      for (const frame of read(chunk)) {
        frames.push(frame);
        if (frame.kind !== "data") continue;
        input += frame.bytes.length;
        if (agent.isConfirming) send({ kind: "received", offset: input });
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const agent: FakeShellAgent = {
    port: (server.address() as AddressInfo).port,
    ...{ attaches, frames, answer, isConfirming: true, send },
    typed: () =>
      Buffer.concat(
        frames.flatMap((frame) => (frame.kind === "data" ? [frame.bytes] : [])),
      ).toString(),
    socket() {
      const socket = sockets.at(-1);
      if (socket === undefined) throw new Error("Nobody has connected");
      return socket;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return agent;
}
