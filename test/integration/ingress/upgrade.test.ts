// Upgraded connections: hand-shake, authentication by header and by sub-protocol, bytes both ways, both ends.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import {
  ENDPOINT_HOST,
  fetchOnce,
  type Harness,
  readUntil,
  startHarness,
  until,
} from "./harness.ts";

interface Upgraded {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
}

/** Has the application accept every upgrade and echo what follows; `chosen` is the sub-protocol it picks. */
function acceptUpgrades(harness: Harness, chosen?: string): Upgraded[] {
  const accepted: Upgraded[] = [];
  harness.app.on("upgrade", (request: IncomingMessage, socket: Duplex) => {
    accepted.push({ request, socket });
    socket.on("error", () => undefined);
    const protocol = chosen === undefined ? "" : `Sec-WebSocket-Protocol: ${chosen}\r\n`;
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n${protocol}\r\n`,
    );
    socket.pipe(socket);
  });
  return accepted;
}

async function handshake(harness: Harness, fields: Record<string, string>): Promise<TLSSocket> {
  const socket = await harness.connect();
  socket.on("error", () => undefined);
  const lines = Object.entries({
    Host: ENDPOINT_HOST,
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...fields,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET /chat HTTP/1.1\r\n${lines.join("")}\r\n`);
  return socket;
}

test("an upgrade with header authentication joins client and application", async () => {
  await using harness = await startHarness();
  const [accepted, client] = [
    acceptUpgrades(harness),
    await handshake(harness, await harness.credentials()),
  ];
  const head = await readUntil(client, "\r\n\r\n");
  assert.match(head, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  assert.match(head, /\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/);
  assert.match(head, /\r\nSec-WebSocket-Accept: x\r\n/);
  assert.match(head, /\r\nx-amzn-requestid: /);
  assert.doesNotMatch(head, /sec-websocket-protocol/i);
  const { request } = accepted[0] ?? assert.fail();
  assert.equal(request.url, "/chat");
  assert.equal(request.headers["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
  assert.equal(request.headers["x-aws-proxy-auth"], undefined);
  client.write(Buffer.from([0, 255, 1]));
  const [echo] = (await once(client, "data")) as [Buffer];
  assert.deepEqual([...echo], [0, 255, 1]);
  client.destroy();
});

test("bytes sent together with the hand-shake are not lost on either side", async () => {
  await using harness = await startHarness();
  harness.app.on("upgrade", (_request, socket: Duplex) => {
    socket.write("HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\ngreeting;");
    socket.pipe(socket);
  });
  const client = await harness.connect();
  const lines = Object.entries(await harness.credentials()).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  client.write(
    `GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines.join("")}\r\nearly;`,
  );
  const received = await readUntil(client, "early;");
  assert.match(received, /\r\n\r\ngreeting;early;$/);
  client.destroy();
});

test("token and port may come as sub-protocols, of which the application sees none", async () => {
  await using harness = await startHarness();
  const accepted = acceptUpgrades(harness);
  const token = await harness.token();
  const client = await handshake(harness, {
    "Sec-WebSocket-Protocol": `lambda-microvms.port.${harness.appPort}, lambda-microvms.authentication.${token}, lambda-microvms`,
  });
  const head = await readUntil(client, "\r\n\r\n");
  assert.match(head, /^HTTP\/1\.1 101 /);
  assert.match(head, /\r\nSec-WebSocket-Protocol: lambda-microvms\r\n/);
  assert.equal(accepted[0]?.request.headers["sec-websocket-protocol"], undefined);
  client.destroy();
});

test("the application's own choice of sub-protocol is returned", async () => {
  await using harness = await startHarness();
  const accepted = acceptUpgrades(harness, "chat.v2");
  const token = await harness.token();
  const client = await handshake(harness, {
    "x-aws-proxy-port": String(harness.appPort),
    "Sec-WebSocket-Protocol": `chat.v1, lambda-microvms, lambda-microvms.authentication.${token}, chat.v2`,
  });
  const head = await readUntil(client, "\r\n\r\n");
  assert.deepEqual(head.match(/^sec-websocket-protocol: .*$/gim), [
    "Sec-WebSocket-Protocol: chat.v2",
  ]);
  assert.equal(accepted[0]?.request.headers["sec-websocket-protocol"], "chat.v1, chat.v2");
  client.destroy();
});

test("sub-protocol authentication without the marker fails", async () => {
  await using harness = await startHarness();
  const accepted = acceptUpgrades(harness);
  const client = await handshake(harness, {
    "Sec-WebSocket-Protocol": `lambda-microvms.authentication.${await harness.token()}`,
  });
  const answer = await readUntil(client, "Request missing authentication");
  assert.match(answer, /^HTTP\/1\.1 403 /);
  assert.match(answer, /x-aws-proxy-error: UNAUTHORIZED/);
  assert.equal(accepted.length, 0);
  client.destroy();
});

test("sub-protocols authenticate no ordinary request", async () => {
  await using harness = await startHarness();
  const client = await harness.connect();
  const offered = `lambda-microvms, lambda-microvms.authentication.${await harness.token()}`;
  client.write(`GET / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Protocol: ${offered}\r\n\r\n`);
  assert.match(await readUntil(client, "missing authentication"), /^HTTP\/1\.1 403 /);
  client.destroy();
});

test("sub-protocols of ours reach the application with no ordinary request", async () => {
  let offered: string | undefined;
  await using harness = await startHarness({
    app: (request, response) => {
      offered = request.headers["sec-websocket-protocol"];
      response.end("hello");
    },
  });
  const token = await harness.token();
  const headers = {
    ...(await harness.credentials()),
    "sec-websocket-protocol": `lambda-microvms.authentication.${token}, chat, lambda-microvms`,
  };
  assert.equal((await fetchOnce(harness, { headers })).status, 200);
  assert.equal(offered, "chat");
});

test("a refused upgrade closes its connection", async () => {
  await using harness = await startHarness();
  const client = await handshake(harness, {
    "x-aws-proxy-auth": await harness.token(),
    "x-aws-proxy-port": "0",
  });
  const closed = once(client, "close");
  assert.match(await readUntil(client, "Invalid x-aws-proxy-port: 0"), /^HTTP\/1\.1 400 /);
  client.resume();
  await closed;
});

test("an application that declines the upgrade answers the client itself", async () => {
  await using harness = await startHarness({
    app: (_request, response) => void response.writeHead(426, { "x-app": "1" }).end("no thanks"),
  });
  const client = await handshake(harness, await harness.credentials());
  const answer = await readUntil(client, "no thanks");
  assert.match(answer, /^HTTP\/1\.1 426 /);
  assert.match(answer, /\r\nx-app: 1\r\n/);
  client.destroy();
  await until(() => harness.traffic.leases[0]?.disposals === 1, "the lease is back");
});

test("the lease lasts as long as the upgraded connection", async () => {
  await using harness = await startHarness();
  acceptUpgrades(harness);
  const client = await handshake(harness, await harness.credentials());
  await readUntil(client, "\r\n\r\n");
  client.write("x");
  await once(client, "data");
  assert.equal(harness.traffic.leases[0]?.disposals, 0);
  client.destroy();
  await until(() => harness.traffic.leases[0]?.disposals === 1, "the lease is back");
});

test("a client that leaves ends the application's side", async () => {
  await using harness = await startHarness();
  const accepted = acceptUpgrades(harness);
  const client = await handshake(harness, await harness.credentials());
  await readUntil(client, "\r\n\r\n");
  client.destroy();
  await until(() => accepted[0]?.socket.destroyed === true, "the application's side is closed");
});

test("an application that ends lets the client have its last bytes", async () => {
  await using harness = await startHarness();
  const accepted = acceptUpgrades(harness);
  const client = await handshake(harness, await harness.credentials());
  await readUntil(client, "\r\n\r\n");
  const closed = once(client, "close");
  accepted[0]?.socket.end("goodbye");
  assert.equal(await readUntil(client, "goodbye"), "goodbye");
  client.resume();
  await closed;
});

test("a VMM that goes away cuts the upgraded connection", async () => {
  await using harness = await startHarness();
  acceptUpgrades(harness);
  const client = await handshake(harness, await harness.credentials());
  await readUntil(client, "\r\n\r\n");
  const closed = once(client, "close");
  client.resume();
  harness.traffic.vmm.abort();
  await closed;
  await until(() => harness.traffic.leases[0]?.disposals === 1, "the lease is back");
});
