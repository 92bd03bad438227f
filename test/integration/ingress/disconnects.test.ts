// Who leaves when: a disconnect on either side reaches the other, and the lease comes back exactly once.

import assert from "node:assert/strict";
import { type EventEmitter, once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import { test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { ENDPOINT_HOST, fetchOnce, type Harness, startHarness, until } from "./harness.ts";

async function open(harness: Harness, method = "GET", headers: Record<string, string> = {}) {
  return httpsRequest({
    ...harness.ingress.address,
    servername: ENDPOINT_HOST,
    ca: harness.caCertificate,
    agent: false,
    method,
    headers: { host: ENDPOINT_HOST, ...(await harness.credentials()), ...headers },
  }).on("error", () => undefined);
}

/** Unlike `once`, does not mind an error before the close. */
function closeOf(emitter: EventEmitter): Promise<void> {
  emitter.on("error", () => undefined);
  return new Promise((resolve) => emitter.once("close", () => resolve()));
}

const leaseIsBack = (harness: Harness) =>
  until(() => harness.traffic.leases[0]?.disposals === 1, "the lease is back");

/** Lets anything that would dispose a lease again do so. */
async function assertLeases(harness: Harness, count: number): Promise<void> {
  await until(
    () => harness.traffic.leases.every((lease) => lease.disposals > 0),
    "leases are back",
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(
    harness.traffic.leases.map((lease) => lease.disposals),
    Array<number>(count).fill(1),
  );
}

test("the lease is held until the response has ended", async () => {
  let finish: (() => void) | undefined;
  await using harness = await startHarness({
    app: (_request, response) => {
      response.write("first");
      finish = () => response.end("last");
    },
  });
  const outgoing = await open(harness);
  outgoing.end();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  await once(incoming, "data");
  assert.equal(harness.traffic.leases[0]?.disposals, 0);
  finish?.();
  incoming.resume();
  await once(incoming, "end");
  await assertLeases(harness, 1);
});

test("a client that leaves while the application thinks is cut from the application", async () => {
  await using harness = await startHarness({ app: () => undefined });
  const outgoing = await open(harness);
  outgoing.end();
  const [request] = (await once(harness.app, "request")) as [IncomingMessage];
  const closed = closeOf(request.socket);
  outgoing.destroy();
  await closed;
  await assertLeases(harness, 1);
});

test("a client that leaves mid-upload leaves the application an incomplete request", async () => {
  await using harness = await startHarness({ app: (request) => void request.resume() });
  const outgoing = await open(harness, "POST");
  outgoing.write("half");
  const [request] = (await once(harness.app, "request")) as [IncomingMessage];
  const closed = closeOf(request);
  outgoing.destroy();
  await closed;
  assert.equal(request.complete, false);
  await assertLeases(harness, 1);
});

test("a client that leaves mid-download is cut from the application", async () => {
  await using harness = await startHarness({
    app: (_request, response) => void response.write("x"),
  });
  const outgoing = await open(harness);
  outgoing.end();
  const [, response] = (await once(harness.app, "request")) as [IncomingMessage, ServerResponse];
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  incoming.on("error", () => undefined);
  const closed = closeOf(response);
  outgoing.destroy();
  await closed;
  await assertLeases(harness, 1);
});

test("a client that leaves while the microVM wakes stops waiting", async () => {
  await using harness = await startHarness();
  const waiting = Promise.withResolvers<AbortSignal>();
  harness.traffic.beforeOpen = (signal) => {
    waiting.resolve(signal);
    return new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
  };
  const outgoing = await open(harness);
  outgoing.end();
  const signal = await waiting.promise;
  outgoing.destroy();
  await until(() => signal.aborted, "the wait is cancelled");
  assert.equal(harness.traffic.leases.length, 0);
});

test("a request waits for a microVM that wakes, its body unread", async () => {
  let received = "";
  await using harness = await startHarness({
    app: (request, response) => {
      request.on("data", (chunk: Buffer) => (received += chunk.toString()));
      request.on("end", () => response.end("woken"));
    },
  });
  const wake = Promise.withResolvers<undefined>();
  const asked = Promise.withResolvers<undefined>();
  harness.traffic.beforeOpen = () => {
    asked.resolve(undefined);
    return wake.promise;
  };
  const reply = fetchOnce(harness, {
    method: "POST",
    headers: await harness.credentials(),
    body: "held",
  });
  await asked.promise;
  assert.equal(received, "");
  wake.resolve(undefined);
  assert.equal((await reply).body, "woken");
  assert.equal(received, "held");
  await assertLeases(harness, 1);
});

test("an application that dies mid-response cuts the client, who sees an incomplete response", async () => {
  await using harness = await startHarness({
    app: (_request, response) => {
      response.write("some");
      setImmediate(() => response.socket?.resetAndDestroy());
    },
  });
  await assert.rejects(fetchOnce(harness, { headers: await harness.credentials() }), {
    code: "ECONNRESET",
  });
  await assertLeases(harness, 1);
});

test("an application that ends short of its Content-Length cuts the client", async () => {
  await using harness = await startHarness({
    app: (_request, response) => {
      response.writeHead(200, { "content-length": 10 });
      response.write("short");
      setImmediate(() => response.socket?.end());
    },
  });
  await assert.rejects(fetchOnce(harness, { headers: await harness.credentials() }));
  await assertLeases(harness, 1);
});

test("a VMM that goes away mid-response cuts the client and the application's connection", async () => {
  await using harness = await startHarness({
    app: (_request, response) => void response.write("x"),
  });
  const outgoing = await open(harness);
  outgoing.end();
  const [request] = (await once(harness.app, "request")) as [IncomingMessage];
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  const failed = once(incoming, "error");
  const closed = closeOf(request.socket);
  incoming.resume();
  harness.traffic.vmm.abort();
  await Promise.all([failed, closed]);
  await assertLeases(harness, 1);
});

test("an idle connection to the application is cut when the VMM goes away", async () => {
  await using harness = await startHarness();
  const client = await harness.connect();
  const fields = Object.entries(await harness.credentials()).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const requested = once(harness.app, "request") as Promise<[IncomingMessage]>;
  client.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${fields.join("")}\r\n`);
  const [request] = await requested;
  await once(client, "data");
  await leaseIsBack(harness);
  assert.equal(request.socket.destroyed, false);
  const closed = closeOf(request.socket);
  harness.traffic.vmm.abort();
  await closed;
  client.destroy();
});

test("an idle connection to the application is closed when its client leaves", async () => {
  await using harness = await startHarness();
  const client = await harness.connect();
  const fields = Object.entries(await harness.credentials()).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const requested = once(harness.app, "request") as Promise<[IncomingMessage]>;
  client.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${fields.join("")}\r\n`);
  const [request] = await requested;
  await once(client, "data");
  const closed = closeOf(request.socket);
  client.destroy();
  await closed;
});

test("every outcome gives its lease back exactly once", async () => {
  await using harness = await startHarness({
    app: (request, response) => {
      if (request.url === "/hang-up") request.socket.destroy();
      else response.end("ok");
    },
  });
  const headers = await harness.credentials();
  assert.equal((await fetchOnce(harness, { headers })).status, 200);
  assert.equal((await fetchOnce(harness, { headers, path: "/hang-up" })).status, 502);
  assert.equal((await fetchOnce(harness, { headers, method: "POST", body: "x" })).status, 200);
  await assertLeases(harness, 3);
});

/** Gives no lease before `wake`, as a wake-up does; then even to a client that has left meanwhile. */
function holdLeases({ traffic }: Harness) {
  const wake = Promise.withResolvers<undefined>();
  const asked = Promise.withResolvers<undefined>();
  const original = traffic.open.bind(traffic);
  traffic.open = async (microvmId) => {
    asked.resolve(undefined);
    await wake.promise;
    return original(microvmId, new AbortController().signal);
  };
  return { asked, wake };
}

test("a lease that comes after its client has left goes straight back", async () => {
  await using harness = await startHarness();
  const { asked, wake } = holdLeases(harness);
  const outgoing = await open(harness);
  outgoing.end();
  await asked.promise;
  outgoing.destroy();
  await new Promise((resolve) => setTimeout(resolve, 20));
  wake.resolve(undefined);
  await until(() => harness.traffic.leases.length === 1, "the lease is given");
  await assertLeases(harness, 1);
});

test("a plain request whose client has left meanwhile is not sent, and its lease goes straight back", async () => {
  await using harness = await startHarness({ app: () => undefined });
  let requests = 0;
  harness.app.on("request", () => (requests += 1));
  // As while an application is tried for TLS: nothing looks at the client until that is over.
  const { asked, wake } = holdLeases(harness);
  const fields = Object.entries(await harness.credentials());
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const socket = await harness.connect();
  socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n`);
  await asked.promise;
  socket.destroy();
  await until(() => harness.ingress.countConnections() === 0, "the client is gone");
  wake.resolve(undefined);
  await until(() => harness.traffic.leases.length === 1, "the lease is given");
  await assertLeases(harness, 1);
  assert.equal(requests, 0);
});

test("disposing ends idle connections at once and running ones after the grace", async () => {
  await using harness = await startHarness({ app: () => undefined, shutdownGraceMs: 50 });
  const idle = await harness.connect();
  idle.on("error", () => undefined);
  const idleClosed = closeOf(idle);
  const outgoing = await open(harness);
  outgoing.end();
  const cut = closeOf(outgoing);
  await once(harness.app, "request");
  idle.resume();
  await harness.ingress[Symbol.asyncDispose]();
  await Promise.all([idleClosed, cut]);
  await assertLeases(harness, 1);
  await harness.ingress[Symbol.asyncDispose]();
});

test("disposing lets a running request end", async () => {
  let finish: (() => void) | undefined;
  await using harness = await startHarness({
    app: (_request, response) => void (finish = () => response.end("done")),
    shutdownGraceMs: 5000,
  });
  const reply = fetchOnce(harness, { headers: await harness.credentials() });
  await once(harness.app, "request");
  const disposed = harness.ingress[Symbol.asyncDispose]();
  finish?.();
  assert.equal((await reply).body, "done");
  await disposed;
});

test("createIngress rejects SETUP_FAILED when its port is taken", async () => {
  await using harness = await startHarness();
  const { address } = harness.ingress;
  await assert.rejects(startHarness({ listen: address }), (error) =>
    isServiceError(error, "SETUP_FAILED"),
  );
});
