// Requests over HTTP/2 through the ingress: streams side by side, bodies and trailers both ways, cancellation, calls in
// the manner of gRPC to an application over h2c, WebSocket by extended CONNECT, and the end of the service.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { test } from "node:test";
import { ENDPOINT_HOST, type Harness, openSession, startHarness, until } from "./harness.ts";

async function call(
  harness: Harness,
  session: ClientHttp2Session,
  fields: OutgoingHttpHeaders = {},
  options: { endStream?: boolean } = {},
): Promise<ClientHttp2Stream> {
  const credentials = await harness.credentials();
  const all = { ":authority": ENDPOINT_HOST, ...credentials, ...fields };
  const stream = session.request(all, options);
  stream.on("error", () => undefined);
  return stream;
}

async function headersOf(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders> {
  const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
  return headers;
}

/** An error says only why it closes. */
function closed(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => stream.once("close", resolve));
}

/** An application over h2c beside the one of the harness. */
async function startH2cApp(onStream: (stream: ServerHttp2Stream, h: IncomingHttpHeaders) => void) {
  const server = createServer();
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    onStream(stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function toH2c(harness: Harness, port: number): Promise<Record<string, string>> {
  return {
    "x-aws-proxy-auth": await harness.token(),
    "x-aws-proxy-port": String(port),
    "x-aws-proxy-force-h2": "true",
  };
}

test("a request over HTTP/2 reaches an HTTP/1.1 application as sent", async () => {
  let seen: IncomingMessage | undefined;
  await using harness = await startHarness({
    app: (request, response) => {
      seen = request;
      response.writeHead(201, [
        ["Set-Cookie", "a"],
        ["Set-Cookie", "b"],
        ["X-Mixed-Case", "é"],
        ["Connection", "X-Hop"],
        ["X-Hop", "1"],
      ]);
      response.end("body");
    },
  });
  await using session = await openSession(harness);
  const stream = await call(harness, session, {
    ":method": "PUT",
    ":path": "/a%20b//c?d=e&f",
    cookie: ["x=1", "y=2"],
    "x-torpor-timing": "1",
  });
  stream.end("x");
  const headers = await headersOf(stream);
  assert.equal(headers[":status"], 201);
  assert.deepEqual(headers["set-cookie"], ["a", "b"]);
  assert.equal(headers["x-mixed-case"], "é");
  assert.equal(headers["x-hop"], undefined);
  assert.match(String(headers["server-timing"]), /^wake;dur=0\.0, app;dur=\d+\.\d$/);
  assert.equal(await text(stream), "body");
  assert.equal(seen?.url, "/a%20b//c?d=e&f");
  assert.equal(seen?.method, "PUT");
  assert.equal(seen?.headers.host, ENDPOINT_HOST);
  assert.equal(seen?.headers.cookie, "x=1; y=2");
  assert.equal(seen?.headers["x-amzn-requestid"], headers["x-amzn-requestid"]);
  const ours = Object.keys(seen?.headers ?? {}).filter((name) =>
    /^x-(aws-proxy|torpor)/.test(name),
  );
  assert.deepEqual(ours, []);
});

test("the status table is the same over HTTP/2", async () => {
  await using harness = await startHarness();
  await using session = await openSession(harness);
  const token = await harness.token({ ports: [{ port: 1 }] });
  const cases = [
    [{ "x-aws-proxy-auth": undefined }, 403, "Request missing authentication"],
    [{ ":authority": "example.com" }, 403, "Token authentication failed"],
    [{ "x-aws-proxy-auth": token }, 403, "Access to port denied"],
    [{ "x-aws-proxy-port": "0" }, 400, "Invalid x-aws-proxy-port: 0"],
    [{ "x-aws-proxy-auth": token, "x-aws-proxy-port": "1" }, 502, ""],
  ] as const;
  for (const [fields, status, body] of cases) {
    const stream = await call(harness, session, fields);
    assert.equal((await headersOf(stream))[":status"], status);
    assert.equal(await text(stream), body);
  }
});

test("a client's table of HPACK may be of any size", async () => {
  await using harness = await startHarness();
  for (const headerTableSize of [0, 1024, 4096, 65_536]) {
    const { host, port } = harness.ingress.address;
    const ca = harness.caCertificate;
    const options = { servername: ENDPOINT_HOST, ca, settings: { headerTableSize } };
    const session = connect(`https://${host}:${port}`, options);
    for (let count = 0; count < 3; count += 1) {
      const headers = { ":authority": ENDPOINT_HOST, ...(await harness.credentials()) };
      assert.equal(await text(session.request(headers)), "hello", `${headerTableSize}`);
    }
    session.settings({ headerTableSize: 100 });
    const headers = { ":authority": ENDPOINT_HOST, ...(await harness.credentials()) };
    assert.equal(await text(session.request(headers)), "hello");
    session.destroy();
  }
});

test("an upload goes on when an answer that is not plain has begun", async () => {
  await using harness = await startHarness({
    app: (request, response) => void request.pipe(response),
  });
  await using session = await openSession(harness);
  const half = "x".repeat(200_000);
  const stream = session.request({
    ...{ ":method": "POST", ":authority": ENDPOINT_HOST, "content-length": 2 * half.length },
    ...(await harness.credentials()),
  });
  stream.write(half);
  await once(stream, "response");
  stream.end(half);
  assert.equal((await text(stream)).length, 2 * half.length);
});

test("a client is told how many streams it may have, and how large", async () => {
  await using harness = await startHarness();
  await using session = await openSession(harness);
  const { maxConcurrentStreams, initialWindowSize, enableConnectProtocol } = session.remoteSettings;
  assert.equal(maxConcurrentStreams, 128);
  assert.equal(initialWindowSize, 256 * 1024);
  assert.equal(enableConnectProtocol, true);
});

test("streams of one session are carried side by side", async () => {
  const held: (() => void)[] = [];
  await using harness = await startHarness({
    app: (request, response) => {
      if (request.url === "/slow") held.push(() => response.end("slow"));
      else response.end("quick");
    },
  });
  await using session = await openSession(harness);
  const slow = await Promise.all(
    Array.from({ length: 10 }, () => call(harness, session, { ":path": "/slow" })),
  );
  await until(() => held.length === 10, "all have reached the application");
  assert.equal(await text(await call(harness, session)), "quick");
  for (const answer of held) answer();
  assert.deepEqual(await Promise.all(slow.map((stream) => text(stream))), Array(10).fill("slow"));
});

test("a large body streams both ways over HTTP/2", async () => {
  await using harness = await startHarness({
    app: (request, response) => void request.pipe(response),
  });
  await using session = await openSession(harness);
  const body = Buffer.alloc(4 * 1024 * 1024, "abc");
  const stream = await call(harness, session, { ":method": "POST" });
  stream.end(body);
  assert.ok(body.equals(await buffer(stream)));
});

test("a body that ends without a byte has ended for the application, over either version", async () => {
  await using app = await startH2cApp((stream) => {
    stream.once("end", () => stream.respond({ ":status": 204 }, { endStream: true }));
    stream.resume();
  });
  await using harness = await startHarness({
    app: (request, response) => {
      request.once("end", () => response.writeHead(204).end());
      request.resume();
    },
  });
  await using session = await openSession(harness);
  for (const fields of [{}, await toH2c(harness, app.port)]) {
    const stream = await call(harness, session, { ":method": "POST", ...fields });
    // Its end is a frame of its own: the header has not said that there is no body.
    stream.end();
    assert.equal((await headersOf(stream))[":status"], 204);
    stream.close();
  }
});

test("a client stream that does not read holds the application back", async () => {
  let written = 0;
  await using harness = await startHarness({
    app: (_request, response) => {
      const chunk = Buffer.alloc(64 * 1024);
      const fill = () => {
        do written += chunk.length;
        while (written < 256 * 1024 * 1024 && response.write(chunk));
      };
      response.on("drain", fill);
      fill();
    },
  });
  await using session = await openSession(harness);
  const stream = await call(harness, session);
  await headersOf(stream);
  let before = -1;
  while (before !== written) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(written < 64 * 1024 * 1024, `${written} bytes were taken`);
  stream.close(constants.NGHTTP2_CANCEL);
});

test("a client that resets its stream ends the application's side and gives the lease back", async () => {
  let left = false;
  await using harness = await startHarness({
    app: (_request, response) => {
      response.write("first");
      response.once("close", () => (left = true));
    },
  });
  await using session = await openSession(harness);
  const stream = await call(harness, session);
  await once(stream, "data");
  stream.close(constants.NGHTTP2_CANCEL);
  await until(() => left, "the application noticed");
  await until(() => harness.traffic.leases[0]?.disposals === 1, "the lease is back");
});

test("an application that breaks off resets the stream and not the session", async () => {
  await using harness = await startHarness({
    app: (request, response) => {
      if (request.url === "/") return void response.end("fine");
      response.setHeader("content-type", request.headers.accept ?? "");
      response.write("first", () => response.destroy());
    },
  });
  await using session = await openSession(harness);
  // gRPC-Web has no trailers that could tell.
  for (const accept of ["text/plain", "application/grpc-web+proto"]) {
    const stream = await call(harness, session, { ":path": "/break", accept });
    stream.resume();
    await closed(stream);
    assert.equal(stream.rstCode, constants.NGHTTP2_INTERNAL_ERROR);
  }
  assert.equal(await text(await call(harness, session)), "fine");
});

test("a client may measure with a PING after each of many answers", async () => {
  await using harness = await startHarness();
  await using session = await openSession(harness);
  for (let index = 0; index < 1500; index += 1) {
    assert.equal(await text(await call(harness, session)), "hello");
    await new Promise<void>((resolve, reject) => {
      session.ping((error) => (error === null ? resolve() : reject(error)));
    });
  }
});

test("a gRPC call in both directions has its messages, metadata and trailers over h2c", async () => {
  await using app = await startH2cApp((stream, headers) => {
    assert.equal(headers["grpc-timeout"], "5S");
    assert.equal(headers.te, "trailers");
    assert.equal(headers[":authority"], ENDPOINT_HOST);
    stream.respond(
      { "content-type": "application/grpc", "x-meta-bin": "AAE=" },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () =>
      stream.sendTrailers({ "grpc-status": "0", "x-end-bin": ["Ag==", "Aw=="] }),
    );
    stream.pipe(stream);
  });
  await using harness = await startHarness();
  await using session = await openSession(harness);
  for (const isLast of [false, true]) {
    const fields = { ...(await toH2c(harness, app.port)), "grpc-timeout": "5S", te: "trailers" };
    const stream = await call(harness, session, { ":method": "POST", ...fields });
    const trailers = once(stream, "trailers") as Promise<[IncomingHttpHeaders]>;
    assert.equal((await headersOf(stream))["x-meta-bin"], "AAE=");
    stream.write("ping");
    assert.equal(String((await once(stream, "data"))[0]), "ping");
    stream.end();
    stream.resume();
    assert.equal((await trailers)[0]["grpc-status"], "0");
    assert.equal((await trailers)[0]["x-end-bin"], "Ag==, Aw==");
    if (isLast) assert.equal(app.connections(), 1);
  }
});

test("trailers of any name reach an application over h2c, but for those of the connection", async () => {
  const names = ["constructor", "__proto__", "valueof", "x-sum", "x-sum", "http2-settings"];
  const given = names.map((name, index): [string, string] => [name, String(index)]);
  const seen = Promise.withResolvers<string[]>();
  await using app = await startH2cApp((stream) => {
    stream.once("trailers", (_trailers, _flags, raw: string[]) => seen.resolve(raw));
    stream.resume();
    stream.respond({ ":status": 200 }, { endStream: true });
  });
  await using harness = await startHarness();
  const outgoing = httpsRequest({
    ...{ ...harness.ingress.address, servername: ENDPOINT_HOST, ca: harness.caCertificate },
    ...{ method: "POST", agent: false },
    headers: { host: ENDPOINT_HOST, ...(await toH2c(harness, app.port)) },
  });
  outgoing.write("body");
  outgoing.addTrailers(given);
  outgoing.end();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  incoming.resume();
  const wanted = given.filter(([name]) => name !== "http2-settings");
  assert.deepEqual(await seen.promise, wanted.flat());
});

test("a gRPC answer of trailers only ends with its header", async () => {
  await using app = await startH2cApp((stream) => {
    stream.respond(
      { "content-type": "application/grpc", "grpc-status": "12" },
      { endStream: true },
    );
  });
  await using harness = await startHarness();
  await using session = await openSession(harness);
  const fields = await toH2c(harness, app.port);
  const stream = await call(harness, session, { ":method": "POST", ...fields });
  const [headers, flags] = (await once(stream, "response")) as [IncomingHttpHeaders, number];
  assert.equal(headers["grpc-status"], "12");
  assert.ok(flags & constants.NGHTTP2_FLAG_END_STREAM);
  stream.close();
});

test("a cancelled gRPC call is cancelled at the application, and a reset of the application reaches the client", async () => {
  const codes: number[] = [];
  await using app = await startH2cApp((stream, headers) => {
    stream.respond();
    stream.write("x");
    if (headers[":path"] === "/reset") stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    stream.once("close", () => codes.push(stream.rstCode ?? -1));
  });
  await using harness = await startHarness();
  await using session = await openSession(harness);
  const fields = await toH2c(harness, app.port);
  const cancelled = await call(harness, session, { ":method": "POST", ...fields });
  await headersOf(cancelled);
  cancelled.close(constants.NGHTTP2_CANCEL);
  await until(() => codes.length === 1, "the application noticed");
  assert.deepEqual(codes, [constants.NGHTTP2_CANCEL]);
  const reset = await call(harness, session, { ...fields, ":method": "POST", ":path": "/reset" });
  reset.resume();
  await closed(reset);
  // Before its header got through the ingress answers for the application.
  assert.ok(
    [constants.NGHTTP2_ENHANCE_YOUR_CALM, constants.NGHTTP2_NO_ERROR].includes(reset.rstCode ?? -1),
  );
});

test("an application that speaks no HTTP/2 answers 502 to a forced one", async () => {
  await using harness = await startHarness();
  await using session = await openSession(harness);
  const stream = await call(harness, session, { "x-aws-proxy-force-h2": "true" });
  const headers = await headersOf(stream);
  assert.equal(headers[":status"], 502);
  assert.equal(headers["x-aws-proxy-error"], "APP_CONNECT_FAILED");
  stream.resume();
});

test("a VMM that goes away cuts the calls over h2c", async () => {
  await using app = await startH2cApp((stream) => stream.respond());
  await using harness = await startHarness();
  await using session = await openSession(harness);
  const fields = await toH2c(harness, app.port);
  const stream = await call(harness, session, { ":method": "POST", ...fields });
  await headersOf(stream);
  harness.traffic.vmm.abort();
  stream.resume();
  await closed(stream);
  assert.notEqual(stream.rstCode, constants.NGHTTP2_NO_ERROR);
});

test("a VMM that goes away in the moment of the connect takes nothing with it", async () => {
  await using app = await startH2cApp((stream) => stream.respond({}, { endStream: true }));
  await using harness = await startHarness();
  await using session = await openSession(harness);
  const fields = await toH2c(harness, app.port);
  const abortOnConnect = (message: unknown) => {
    const { socket } = message as { readonly socket: Socket };
    // After what the session does by itself when it is connected, and before it has told of that.
    queueMicrotask(() => socket.once("connect", () => harness.traffic.vmm.abort()));
  };
  subscribe("net.client.socket", abortOnConnect);
  const stream = await call(harness, session, fields);
  const headers = await headersOf(stream).finally(() =>
    unsubscribe("net.client.socket", abortOnConnect),
  );
  assert.equal(headers[":status"], 502);
  assert.equal(headers["x-aws-proxy-error"], "MICROVM_CONNECT_FAILED");
  harness.traffic.vmm = new AbortController();
  assert.equal((await headersOf(await call(harness, session, fields)))[":status"], 200);
});

/** Accepts upgrades as a WebSocket server does and echoes what follows. */
function acceptWebSockets(harness: Harness, accept?: string): IncomingMessage[] {
  const seen: IncomingMessage[] = [];
  harness.app.on("upgrade", (request: IncomingMessage, socket: Duplex) => {
    seen.push(request);
    const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const expected = createHash("sha1").update(key).digest("base64");
    socket.on("error", () => undefined);
    socket.write(
      `HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept ?? expected}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  return seen;
}

test("a WebSocket by extended CONNECT becomes an upgrade, authenticated by sub-protocols", async () => {
  await using harness = await startHarness();
  const seen = acceptWebSockets(harness);
  await using session = await openSession(harness);
  assert.equal(session.remoteSettings.enableConnectProtocol, true);
  const offered = `lambda-microvms, lambda-microvms.authentication.${await harness.token()}, lambda-microvms.port.${harness.appPort}`;
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "https",
    ":path": "/chat",
    ":authority": ENDPOINT_HOST,
    "sec-websocket-protocol": offered,
    "sec-websocket-version": "13",
  });
  const headers = await headersOf(stream);
  assert.equal(headers[":status"], 200);
  assert.equal(headers["sec-websocket-protocol"], "lambda-microvms");
  assert.equal(headers["sec-websocket-accept"], undefined);
  stream.write("frame");
  assert.equal(String((await once(stream, "data"))[0]), "frame");
  assert.equal(seen[0]?.url, "/chat");
  assert.equal(seen[0]?.headers["sec-websocket-protocol"], undefined);
  stream.end();
  stream.resume();
  await closed(stream);
  await until(() => harness.traffic.leases[0]?.disposals === 1, "the lease is back");
});

test("a WebSocket that the application accepts with a wrong key answers 502", async () => {
  await using harness = await startHarness();
  acceptWebSockets(harness, "wrong");
  await using session = await openSession(harness);
  const stream = await call(
    harness,
    session,
    { ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": "/" },
    { endStream: false },
  );
  assert.equal((await headersOf(stream))[":status"], 502);
  stream.close();
});

test("the end of the service is announced, and a call in flight may end", async () => {
  const held: (() => void)[] = [];
  await using harness = await startHarness({
    shutdownGraceMs: 2000,
    app: (_request, response) => void held.push(() => response.end("late")),
  });
  await using session = await openSession(harness);
  const stream = await call(harness, session);
  await until(() => held.length === 1, "the call has reached the application");
  const goaway = once(session, "goaway");
  const ended = harness.ingress[Symbol.asyncDispose]();
  await goaway;
  held[0]?.();
  assert.equal(await text(stream), "late");
  await ended;
});
