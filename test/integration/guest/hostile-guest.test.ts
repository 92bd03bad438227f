// A guest is the user's, root included: whatever it puts in the agent's place may not hang or flood the host.

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { createGuestClient, type GuestClient } from "../../../src/guest/client.ts";

/** A client of a "guest" that sends `bytes` to whoever connects and asks, again and again while there is room. */
async function hostileGuest(bytes: string, isEndless = false) {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("data", () => {
      socket.write(bytes);
      const line = '1c\r\n{"status":"running","pid":1}\n\r\n'.repeat(500);
      const flood = () => {
        while (socket.writable && socket.write(line));
      };
      if (isEndless) socket.on("drain", flood).write(line);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const guest: GuestClient = createGuestClient({
    address: "127.0.0.1",
    secret: "0".repeat(64),
    port,
  });
  return {
    guest,
    async [Symbol.asyncDispose]() {
      await guest[Symbol.asyncDispose]();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test("an answer that switches protocols is a failed call", { timeout: 20_000 }, async () => {
  await using hostile = await hostileGuest(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
  );
  const call = { port: 9000, path: "/x", body: "", timeoutMs: 1000 };
  const { signal } = new AbortController();
  await assert.rejects(hostile.guest.hook(call, signal), (error) =>
    isServiceError(error, "GUEST_UNREACHABLE"),
  );
});

test("a flood of events ends the stream after a few", { timeout: 20_000 }, async () => {
  const head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
  await using hostile = await hostileGuest(head, true);
  let events = 0;
  const { signal } = new AbortController();
  await assert.rejects(
    async () => {
      for await (const _event of hostile.guest.events(signal)) events++;
    },
    (error) => isServiceError(error),
  );
  assert.ok(events <= 2, `${events} events were taken`);
});
