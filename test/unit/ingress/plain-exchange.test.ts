import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { Http1Connection } from "../../../src/ingress/http1-connection.ts";
import { PlainExchange } from "../../../src/ingress/plain-exchange.ts";

test("a chunk is released when it has left, not when it was taken", async () => {
  const writes: (() => void)[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => void writes.push(done),
  }) as Socket;
  const head = {
    ...{ method: "GET", target: "/", host: "localhost", fields: [], bodyBytes: 0 },
    framing: { kind: "none" },
  } as const;
  const exchange = new PlainExchange(socket, head, new Http1Connection(socket, undefined));
  const released: string[] = [];
  for (const name of ["first", "second"])
    exchange.write({ bytes: Buffer.from(name), release: () => released.push(name) });
  assert.deepEqual(released, []);
  for (const name of ["first", "second"]) {
    writes.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(released.at(-1), name);
  }
  assert.equal(released.length, 2);
  socket.destroy();
});

test("a client that was held back may go on when its request is over", () => {
  const socket = new Duplex({ read: () => undefined, write: () => undefined }) as Socket;
  const head = {
    ...{ method: "POST", target: "/", host: "localhost", fields: [], bodyBytes: 4 },
    framing: { kind: "length", bytes: "4" },
  } as const;
  const exchange = new PlainExchange(socket, head, new Http1Connection(socket, undefined));
  exchange.attach({
    onBody: () => false,
    onBodyEnd: () => undefined,
    onClientDrain: () => undefined,
    onClientClose: () => undefined,
  });
  exchange.takeBody(Buffer.from("body"));
  assert.ok(socket.isPaused());
  // The application has answered, and will never read what it has not read.
  exchange.end();
  exchange.discardRest();
  assert.ok(!socket.isPaused());
  socket.destroy();
});
