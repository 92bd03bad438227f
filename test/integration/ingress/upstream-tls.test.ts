// Applications that speak TLS themselves: found out by trying, then spoken to like any other.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer, type IncomingMessage } from "node:http";
import { createSecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { createLog } from "../../../src/lib/log.ts";
import { openAuthority } from "../../../src/tls/authority.ts";
import {
  ENDPOINT_HOST,
  ENDPOINT_ID,
  fetchOnce,
  type Harness,
  type HarnessOptions,
  MICROVM_ID,
  microvmRecord,
  openSession,
  readUntil,
  REGION,
  startHarness,
} from "./harness.ts";

let credentials: { readonly key: string; readonly cert: string };
before(async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "torpor-upstream-tls-"));
  const log = createLog("error", () => undefined);
  const authority = await openAuthority({ now: Date.now, log }, path.join(directory, "keys"));
  const { key, cert } = authority.issue(REGION);
  credentials = { key, cert };
  await rm(directory, { recursive: true });
});

/** Where the microVMs are; the other one may be there, too. */
const [HERE, THERE] = ["127.0.0.1", "127.0.0.2"];

const cleanUp = new AsyncDisposableStack();
after(() => cleanUp.disposeAsync());

/** Listens on loopback until the end of the tests; counts connections. */
async function listen(server: Server, port = 0, host = HERE) {
  const sockets = new Set<Socket>();
  const app = { port, connections: 0, stop: async () => undefined as void };
  server.on("connection", (socket) => {
    app.connections += 1;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(port, host);
  await once(server, "listening");
  app.port = (server.address() as AddressInfo).port;
  app.stop = async () => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  cleanUp.defer(app.stop);
  return app;
}

const tlsApp = (port = 0, name = "tls") =>
  listen(
    createHttpsServer(credentials, (request, response) => {
      const { servername } = request.socket as TLSSocket & { servername: string };
      response.setHeader("x-server-name", String(servername));
      response.write(`${name} `);
      request.pipe(response);
    }),
    port,
  );
const plainApp = (port = 0, host = HERE) =>
  listen(
    createHttpServer((_request, response) => response.end("plain")),
    port,
    host,
  );
const quietApp = (port = 0, host = HERE) =>
  listen(
    createServer((socket) => {
      socket.on("data", (bytes: Buffer) => {
        if (bytes.toString("latin1").startsWith("GET"))
          socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nquiet");
      });
    }),
    port,
    host,
  );

async function ask(harness: Harness, port: number, input: { body?: string; host?: string } = {}) {
  const { body, host = ENDPOINT_HOST } = input;
  const microvmId = host === ENDPOINT_HOST ? MICROVM_ID : OTHER_ID;
  return fetchOnce(harness, {
    headers: {
      ...{ host, "x-aws-proxy-port": String(port) },
      "x-aws-proxy-auth": await harness.token({ microvmId }),
    },
    ...(body !== undefined && { method: "POST", body }),
  });
}

const OTHER_ID = MICROVM_ID.replace("0f4a", "1f4a");
const OTHER_ENDPOINT = ENDPOINT_ID.replace("7b0e", "8b0e");
const OTHER_HOST = ENDPOINT_HOST.replace(ENDPOINT_ID, OTHER_ENDPOINT);

async function startTrying(options: HarnessOptions = {}): Promise<Harness> {
  const harness = await startHarness({ ...options, triesTls: true });
  const other = microvmRecord({ microvmId: OTHER_ID, endpointId: OTHER_ENDPOINT });
  harness.traffic.records.set(OTHER_ID, other);
  return harness;
}

/** Asks another microVM of the same image version. */
async function askThere(harness: Harness, port: number, microvmId = OTHER_ID) {
  harness.traffic.addresses.set(microvmId, THERE);
  const record = microvmRecord({ microvmId, endpointId: OTHER_ENDPOINT });
  harness.traffic.records.set(microvmId, record);
  const token = await harness.token({ microvmId });
  const headers = { host: OTHER_HOST, "x-aws-proxy-auth": token, "x-aws-proxy-port": String(port) };
  return fetchOnce(harness, { headers });
}

test("an application that speaks TLS is spoken to by TLS, body and all", async () => {
  await using harness = await startTrying();
  const { port } = await tlsApp();
  const { status, body, headers } = await ask(harness, port, { body: "x".repeat(300_000) });
  assert.equal(status, 200);
  assert.equal(body, `tls ${"x".repeat(300_000)}`);
  assert.equal(headers["x-server-name"], ENDPOINT_HOST);
  assert.equal((await ask(harness, port)).body, "tls ");
});

test("a port is tried once for an image version, TLS or not", async () => {
  await using harness = await startTrying();
  const apps = [await tlsApp(), await plainApp()];
  for (const app of apps) {
    for (const host of [ENDPOINT_HOST, OTHER_HOST]) {
      const answers = await Promise.all([
        ...[ask(harness, app.port, { host }), ask(harness, app.port, { host })],
      ]);
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    }
    assert.equal(app.connections, 5);
  }
  const newer = microvmRecord({
    ...{ microvmId: OTHER_ID, endpointId: OTHER_ENDPOINT, imageVersion: "2.0" },
  });
  harness.traffic.records.set(OTHER_ID, newer);
  for (const app of apps) {
    assert.equal((await ask(harness, app.port, { host: OTHER_HOST })).status, 200);
    assert.equal(app.connections, 7);
  }
});

test("a WebSocket reaches an application that speaks TLS", async () => {
  await using harness = await startTrying();
  const server = createHttpsServer(credentials);
  server.on("upgrade", (_request: IncomingMessage, socket: Duplex) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    socket.pipe(socket);
  });
  const { port } = await listen(server);
  const client = await harness.connect();
  client.write(
    `GET / HTTP/1.1\r\nHost: ${ENDPOINT_HOST}\r\nConnection: Upgrade\r\nUpgrade: x\r\nX-aws-proxy-auth: ${await harness.token()}\r\nX-aws-proxy-port: ${port}\r\n\r\nhello`,
  );
  assert.match(await readUntil(client, "hello"), /^HTTP\/1\.1 101 /);
  client.destroy();
});

test("X-aws-proxy-force-h2 speaks HTTP/2 over TLS to an application that speaks TLS", async () => {
  await using harness = await startTrying();
  const server = createSecureServer(credentials);
  server.on("stream", (stream, headers) => {
    stream.respond({ ":status": 200, "x-scheme": headers[":scheme"] });
    stream.end(headers[":authority"]);
  });
  const { port } = await listen(server);
  await using session = await openSession(harness);
  const stream = session.request({
    ...{ ":path": "/", ":authority": ENDPOINT_HOST },
    ...{ "x-aws-proxy-auth": await harness.token(), "x-aws-proxy-port": String(port) },
    "x-aws-proxy-force-h2": "true",
  });
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  stream.resume();
  assert.equal(headers[":status"], 200);
  assert.equal(headers["x-scheme"], "https");
});

test("an application that takes the other form is found out after one failure", async () => {
  await using harness = await startTrying();
  const first = await tlsApp();
  assert.equal((await ask(harness, first.port)).status, 200);
  await first.stop();
  assert.equal((await ask(harness, first.port)).status, 502);
  const second = await plainApp(first.port);
  assert.equal((await ask(harness, first.port)).body, "plain");
  await second.stop();
  const third = await listen(
    createServer((socket) => socket.destroy()),
    first.port,
  );
  assert.equal((await ask(harness, first.port)).status, 502);
  await third.stop();
  await tlsApp(first.port);
  assert.equal((await ask(harness, first.port)).body, "tls ");
});

test("a 400 of a microVM that was not tried itself puts what is known in doubt", async () => {
  await using harness = await startTrying();
  const app = await plainApp();
  assert.equal((await ask(harness, app.port)).body, "plain");
  await app.stop();
  // As nginx does: a refusal without TLS on a port for TLS.
  const tls = createHttpsServer(credentials, (_request, response) => response.end("tls"));
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (bytes: Buffer) => {
      if (bytes[0] !== 0x16) return void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      socket.pause();
      socket.unshift(bytes);
      tls.emit("connection", socket);
    });
  });
  await listen(server, app.port);
  assert.equal((await ask(harness, app.port, { host: OTHER_HOST })).status, 400);
  assert.equal((await ask(harness, app.port, { host: OTHER_HOST })).body, "tls");
});

test("a 400 of an application that was tried is its own", async () => {
  await using harness = await startTrying();
  const app = await listen(
    createHttpServer((_request, response) => response.writeHead(400).end("mine")),
  );
  for (let number = 0; number < 3; number++)
    assert.equal((await ask(harness, app.port)).body, "mine");
  assert.equal(app.connections, 4);
});

test("an application that insists on a client's certificate cannot be reached", async () => {
  await using harness = await startTrying();
  const app = await listen(
    createHttpsServer({ ...credentials, requestCert: true }, (_request, response) =>
      response.end("strict"),
    ),
  );
  assert.equal((await ask(harness, app.port)).status, 502);
});

test("an application that says nothing to a hand-shake is spoken to without TLS", async () => {
  await using harness = await startTrying();
  const app = await quietApp();
  assert.equal((await ask(harness, app.port)).body, "quiet");
});

test("a closed port is 502, and open once something listens", async () => {
  await using harness = await startTrying();
  const app = await plainApp();
  await app.stop();
  const refused = await ask(harness, app.port);
  assert.equal(refused.status, 502);
  assert.equal(refused.headers["x-aws-proxy-error"], "APP_CONNECT_FAILED");
  await tlsApp(app.port);
  assert.equal((await ask(harness, app.port)).body, "tls ");
});

test("an application that lies about TLS costs another microVM one request", async () => {
  await using harness = await startTrying();
  const liar = await tlsApp();
  await plainApp(liar.port, THERE);
  assert.equal((await ask(harness, liar.port)).body, "tls ");
  assert.equal((await askThere(harness, liar.port)).status, 502);
  for (let number = 0; number < 2; number++) {
    assert.equal((await askThere(harness, liar.port)).body, "plain");
    await liar.stop();
    assert.equal((await ask(harness, liar.port)).status, 502);
    await tlsApp(liar.port).then(async (again) => {
      assert.equal((await ask(harness, liar.port)).body, "tls ");
      liar.stop = again.stop;
    });
  }
  // Neither does a third one believe it.
  const third = OTHER_ID.replace("1f4a", "2f4a");
  assert.equal((await askThere(harness, liar.port, third)).body, "plain");
});

test("a microVM does not wait for the answer of another", async () => {
  await using harness = await startTrying();
  const held = Promise.withResolvers<Socket>();
  const silent = await listen(createServer((socket) => held.resolve(socket)));
  const tls = createHttpsServer(credentials, (_request, response) => response.end("tls"));
  await listen(tls, silent.port, THERE);
  const waiting = ask(harness, silent.port);
  const socket = await held.promise;
  assert.equal((await askThere(harness, silent.port)).body, "tls");
  assert.equal(socket.destroyed, false);
  await silent.stop();
  assert.equal((await waiting).status, 502);
});

test("an application that does not answer the hand-shake it gets is found out, too", async () => {
  await using harness = await startTrying({ connectTimeoutMs: 200 });
  const first = await tlsApp();
  await quietApp(first.port, THERE);
  assert.equal((await ask(harness, first.port)).body, "tls ");
  assert.equal((await askThere(harness, first.port)).status, 502);
  assert.equal((await askThere(harness, first.port)).body, "quiet");
});

test("an application cannot choose a key exchange over a field of its own", async () => {
  await using harness = await startTrying();
  const hello = Promise.withResolvers<Buffer>();
  const app = await listen(
    createServer((socket) => {
      socket.once("data", (bytes: Buffer) => {
        hello.resolve(bytes);
        socket.destroy();
      });
    }),
  );
  assert.equal((await ask(harness, app.port)).status, 502);
  // After the record's and the message's head, the version and the random bytes.
  const rest = (await hello.promise).subarray(5 + 4 + 2 + 32);
  const list = rest.subarray(1 + rest.readUInt8(0));
  const suites = Array.from({ length: list.readUInt16BE(0) / 2 }, (_, index) =>
    list.readUInt16BE(2 + index * 2),
  );
  // Those of DHE with RSA: 128 and 256 bits, GCM, CBC, CCM and ChaCha20.
  const dhe = [0x33, 0x39, 0x67, 0x6b, 0x9e, 0x9f, 0xc09e, 0xc09f, 0xccaa];
  assert.ok(suites.includes(0xc02f));
  assert.deepEqual(
    suites.filter((suite) => dhe.includes(suite)),
    [],
  );
});
