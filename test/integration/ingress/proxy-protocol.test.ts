// Connections that come through a load balancer, and those that only look so.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectPlain, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { ENDPOINT_HOST, fetchOnce, type Harness, startHarness } from "./harness.ts";

/** Balancers have this address here; clients on their own have another. */
const BALANCER = "127.0.0.1";
const CLIENT = "127.0.0.9";
const LINE = "PROXY TCP4 203.0.113.7 10.0.0.1 12345 443\r\n";

let harness: Harness;
before(async () => {
  harness = await startHarness({
    proxyProtocolFrom: [`${BALANCER}/32`],
    headersTimeoutMs: 300,
    hasAccessLog: true,
  });
});
after(() => harness[Symbol.asyncDispose]());

async function open(localAddress: string): Promise<Socket> {
  const socket = connectPlain({ ...harness.ingress.address, localAddress });
  // However it ends: the tests look at what came before.
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

/** Goes on with TLS and a request; resolves with the answer. */
async function ask(socket: Socket, alpn = "http/1.1"): Promise<string> {
  const ca = harness.caCertificate;
  const tls = connectTls({ socket, ca, servername: ENDPOINT_HOST, ALPNProtocols: [alpn] });
  await once(tls, "secureConnect");
  const credentials = Object.entries(await harness.credentials());
  const fields = credentials.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  tls.write(`GET / HTTP/1.1\r\nHost: ${ENDPOINT_HOST}\r\nConnection: close\r\n${fields}\r\n`);
  return text(tls);
}

/** Client address in the line of the last request. */
function loggedClient(): unknown {
  const line = harness.logLines.findLast((one) => one.includes('"message":"Request"')) ?? "{}";
  return (JSON.parse(line) as { readonly clientAddress?: unknown }).clientAddress;
}

test("a client behind a balancer is known by its own address", async () => {
  const socket = await open(BALANCER);
  socket.write(LINE);
  assert.match(await ask(socket), /^HTTP\/1\.1 200 /);
  assert.equal(loggedClient(), "203.0.113.7");
});

test("a header that comes in pieces is put together", async () => {
  const socket = await open(BALANCER);
  socket.setNoDelay(true);
  for (const character of LINE) {
    socket.write(character);
    await delay(1);
  }
  assert.match(await ask(socket), /^HTTP\/1\.1 200 /);
  assert.equal(loggedClient(), "203.0.113.7");
});

test("a hand-shake in the same packet as the header is not lost", async () => {
  const socket = await open(BALANCER);
  socket.cork();
  socket.write(LINE);
  const answer = ask(socket);
  process.nextTick(() => socket.uncork());
  assert.match(await answer, /^HTTP\/1\.1 200 /);
});

test("a balancer's own connection has the balancer's address", async () => {
  const socket = await open(BALANCER);
  socket.write("PROXY UNKNOWN\r\n");
  assert.match(await ask(socket), /^HTTP\/1\.1 200 /);
  assert.equal(loggedClient(), BALANCER);
});

test("a client on its own needs no header and can claim no address by one", async () => {
  const honest = await open(CLIENT);
  assert.match(await ask(honest), /^HTTP\/1\.1 200 /);
  assert.equal(loggedClient(), CLIENT);
  const liar = await open(CLIENT);
  liar.write(LINE);
  assert.doesNotMatch(await text(liar), /HTTP/);
});

for (const [what, bytes] of [
  ["no header", "\u0016\u0003\u0001\u0002\u0000"],
  ["a broken header", "PROXY TCP4 a b c d\r\n"],
  ["half a header", "PROXY TC"],
  ["nothing", ""],
] as const)
  test(`a balancer that sends ${what} is cut off`, async () => {
    const socket = await open(BALANCER);
    socket.write(bytes);
    assert.equal(await text(socket), "");
  });

test("without the setting a header is no hand-shake", async () => {
  await using plain = await startHarness();
  const socket = connectPlain(plain.ingress.address);
  socket.on("error", () => undefined);
  socket.write(LINE);
  assert.doesNotMatch(await text(socket), /HTTP/);
  assert.equal((await fetchOnce(plain, { headers: await plain.credentials() })).status, 200);
});
