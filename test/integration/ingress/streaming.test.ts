// Bodies, trailers and informational responses through the ingress, in both directions.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request as plainRequest } from "node:http";
import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import {
  ENDPOINT_HOST,
  fetchOnce,
  type Harness,
  readReply,
  readUntil,
  startHarness,
  until,
} from "./harness.ts";

const MIB = 1024 * 1024;

async function openRequest(harness: Harness, options: RequestOptions = {}) {
  return httpsRequest({
    ...harness.ingress.address,
    servername: ENDPOINT_HOST,
    ca: harness.caCertificate,
    agent: false,
    ...options,
    headers: {
      host: ENDPOINT_HOST,
      ...(await harness.credentials()),
      ...(options.headers as object),
    },
  });
}

/** `count` chunks of one MiB and the hash of them all. */
function bigBody(count: number) {
  const chunk = randomBytes(MIB);
  const hash = createHash("sha256");
  for (let index = 0; index < count; index += 1) hash.update(chunk);
  return {
    chunks: () => Readable.from(Array<Buffer>(count).fill(chunk)),
    digest: hash.digest("hex"),
  };
}

test("a request reaches the application as sent, with a request id that the client learns", async () => {
  let seen: IncomingMessage | undefined;
  await using harness = await startHarness({
    app: (request, response) => {
      seen = request;
      response.writeHead(201, "Made", [
        ["Set-Cookie", "a"],
        ["Set-Cookie", "b"],
        ["X-Mixed-Case", "é"],
      ]);
      response.end("body");
    },
  });
  const headers = {
    ...(await harness.credentials()),
    "X-Client": "1",
    Host: `${ENDPOINT_HOST}:7443`,
  };
  const reply = await fetchOnce(harness, {
    method: "PUT",
    path: "/a%20b//c?d=e&f",
    headers,
    body: "x",
  });
  assert.equal(reply.status, 201);
  assert.equal(reply.body, "body");
  assert.deepEqual(reply.headers["set-cookie"], ["a", "b"]);
  assert.ok(reply.rawHeaders.includes("X-Mixed-Case"));
  assert.equal(reply.headers["x-mixed-case"], "é");
  assert.equal(seen?.url, "/a%20b//c?d=e&f");
  assert.equal(seen?.method, "PUT");
  assert.equal(seen?.headers.host, `${ENDPOINT_HOST}:7443`);
  assert.ok(seen?.rawHeaders.includes("X-Client"));
  assert.equal(seen?.headers["x-amzn-requestid"], reply.headers["x-amzn-requestid"]);
  assert.deepEqual(
    Object.keys(seen?.headers ?? {}).filter((name) => name.startsWith("x-aws-proxy")),
    [],
  );
});

test("a large body streams both ways unchanged", async () => {
  await using harness = await startHarness({
    app: (request, response) => void pipeline(request, response),
  });
  const { chunks, digest } = bigBody(16);
  const outgoing = await openRequest(harness, { method: "POST" });
  const hash = createHash("sha256");
  const answered = once(outgoing, "response").then(async ([incoming]) => {
    for await (const chunk of incoming as IncomingMessage) hash.update(chunk as Buffer);
  });
  await Promise.all([pipeline(chunks(), outgoing), answered]);
  assert.equal(hash.digest("hex"), digest);
});

test("a client that does not read holds the application back", async () => {
  let written = 0;
  await using harness = await startHarness({
    app: (_request, response) => {
      const chunk = Buffer.alloc(64 * 1024);
      const fill = () => {
        while (written < 256 * MIB && response.write(chunk)) written += chunk.length;
        written += chunk.length;
      };
      response.on("drain", fill);
      fill();
    },
  });
  const outgoing = await openRequest(harness);
  outgoing.end();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  incoming.pause();
  let last = -1;
  while (last !== written) {
    last = written;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  assert.ok(written < 64 * MIB, `${written} bytes were taken from the application`);
  outgoing.destroy();
});

test("an application that does not read holds the client back", async () => {
  await using harness = await startHarness({ app: (request) => void request.pause() });
  const outgoing = await openRequest(harness, { method: "POST" });
  outgoing.on("error", () => undefined);
  const chunk = Buffer.alloc(64 * 1024);
  let last = -1;
  let written = 0;
  while (last !== written) {
    last = written;
    while (written < 256 * MIB && outgoing.write(chunk)) written += chunk.length;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  assert.ok(written < 64 * MIB, `${written} bytes were taken from the client`);
  outgoing.destroy();
});

test("a chunked request with trailers arrives chunked with its trailers", async () => {
  let seen:
    { body: string; trailers: IncomingMessage["trailers"]; coding: string | undefined } | undefined;
  await using harness = await startHarness({
    app: (request, response) => {
      void text(request).then((body) => {
        seen = { body, trailers: request.trailers, coding: request.headers["transfer-encoding"] };
        response.end();
      });
    },
  });
  const outgoing = await openRequest(harness, { method: "POST", headers: { trailer: "X-Sum" } });
  outgoing.write("one ");
  outgoing.addTrailers({ "X-Sum": "7", "x-aws-proxy-auth": "no" });
  outgoing.end("two");
  await once(outgoing, "response");
  assert.deepEqual(seen, { body: "one two", trailers: { "x-sum": "7" }, coding: "chunked" });
});

test("a response with trailers keeps them", async () => {
  await using harness = await startHarness({
    app: (_request, response) => {
      response.writeHead(200, { trailer: "grpc-status" });
      response.write("data");
      response.addTrailers({ "grpc-status": "0" });
      response.end();
    },
  });
  const reply = await fetchOnce(harness, {
    headers: { ...(await harness.credentials()), te: "trailers" },
  });
  assert.equal(reply.headers.trailer, "grpc-status");
  assert.deepEqual({ ...reply.trailers }, { "grpc-status": "0" });
});

test("server-sent events arrive one by one, and the header before the first", async () => {
  let send: ((event: string) => void) | undefined;
  await using harness = await startHarness({
    app: (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      send = (event) => void response.write(event);
    },
  });
  const outgoing = await openRequest(harness);
  outgoing.end();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  for (const event of ["data: 1\n\n", "data: 2\n\n"]) {
    send?.(event);
    const [chunk] = (await once(incoming, "data")) as [Buffer];
    assert.equal(chunk.toString(), event);
  }
  outgoing.destroy();
});

test("a request header reaches the application before its body", async () => {
  await using harness = await startHarness({
    app: (request, response) => {
      response.writeHead(200).flushHeaders();
      void text(request).then((body) => response.end(body));
    },
  });
  const outgoing = await openRequest(harness, { method: "POST", headers: { "content-length": 4 } });
  outgoing.flushHeaders();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  outgoing.end("late");
  assert.equal((await readReply(incoming)).body, "late");
});

test("100-continue comes from the application, not from the ingress", async () => {
  await using harness = await startHarness();
  const order: string[] = [];
  harness.app.on("checkContinue", (request, response) => {
    order.push("asked");
    response.writeContinue();
    void text(request).then((body) => response.end(body));
  });
  const headers = { expect: "100-continue", "content-length": 2 };
  const outgoing = await openRequest(harness, { method: "PUT", headers });
  outgoing.flushHeaders();
  await once(outgoing, "continue");
  order.push("continued");
  outgoing.end("ok");
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  assert.equal((await readReply(incoming)).body, "ok");
  assert.deepEqual(order, ["asked", "continued"]);
});

test("an application that refuses an expected body answers without a 100", async () => {
  await using harness = await startHarness();
  harness.app.on(
    "checkContinue",
    (_request, response) => void response.writeHead(413).end("too big"),
  );
  const headers = { expect: "100-continue", "content-length": 2 };
  const outgoing = await openRequest(harness, { method: "PUT", headers });
  outgoing.on("continue", () => assert.fail("no 100 was sent")).on("error", () => undefined);
  outgoing.flushHeaders();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  const reply = await readReply(incoming);
  assert.deepEqual([reply.status, reply.body], [413, "too big"]);
  outgoing.destroy();
});

test("early hints pass", async () => {
  await using harness = await startHarness({
    app: (_request, response) => {
      response.writeEarlyHints({ link: "</a.css>; rel=preload" }, () => response.end());
    },
  });
  const outgoing = await openRequest(harness);
  const hints = once(outgoing, "information");
  outgoing.end();
  const [information] = (await hints) as [{ statusCode: number; headers: Record<string, string> }];
  assert.equal(information.statusCode, 103);
  assert.equal(information.headers.link, "</a.css>; rel=preload");
  await once(outgoing, "response");
});

test("early hints with a value that is none pass as they are, in no time", async () => {
  const links = ["garbage", "", `<a>${";a=a=a=a=a".repeat(60)}"`];
  let link = "";
  await using harness = await startHarness({
    app: (_request, response) => {
      const hints = `HTTP/1.1 103 Early Hints\r\nLink: ${link}\r\n\r\n`;
      response.socket?.write(hints, () => response.end());
    },
  });
  for (link of links)
    for (const method of ["GET", "POST"]) {
      const outgoing = await openRequest(harness, { method });
      const hints = once(outgoing, "information");
      outgoing.end();
      const [information] = (await hints) as [{ headers: Record<string, string> }];
      assert.equal(information.headers.link, link);
      await once(outgoing, "response");
    }
});

test("responses without a body pass: HEAD, 204, 304", async () => {
  await using harness = await startHarness({
    app: (request, response) => {
      response.writeHead(Number(request.url?.slice(1)), { "x-length": "1" });
      response.end();
    },
  });
  const headers = await harness.credentials();
  for (const status of [204, 304]) {
    assert.equal((await fetchOnce(harness, { path: `/${status}`, headers })).status, status);
  }
  const head = await fetchOnce(harness, { method: "HEAD", path: "/200", headers });
  assert.deepEqual([head.status, head.body], [200, ""]);
});

test("a Trailer field of an answer that can have none does not fail it", async () => {
  await using harness = await startHarness({
    app: (_request, response) => {
      response.socket?.end(
        "HTTP/1.1 200 OK\r\nX-A: b\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n" +
          "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
      );
    },
  });
  const headers = await harness.credentials();
  const head = await fetchOnce(harness, { method: "HEAD", headers });
  assert.deepEqual([head.status, head.headers["x-a"], head.headers.trailer], [200, "b", undefined]);
  const get = await fetchOnce(harness, { headers });
  assert.deepEqual([get.status, get.trailers["x-sum"]], [200, "1"]);
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = await harness.connect();
  socket.write(`GET / HTTP/1.0\r\nHost: localhost\r\n${fields.join("")}\r\n`);
  assert.match(await readUntil(socket, "ok"), /^HTTP\/1.1 200 OK\r\n/);
  socket.destroy();
});

test("a body-less POST is sent on as empty", async () => {
  let length: string | undefined;
  await using harness = await startHarness({
    app: (request, response) => {
      length = request.headers["content-length"];
      response.end();
    },
  });
  const token = await harness.credentials();
  const socket = await harness.connect();
  const fields = Object.entries(token).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\n${fields.join("")}\r\n`);
  await readUntil(socket, "\r\n\r\n");
  assert.equal(length, "0");
  socket.destroy();
});

test("an answer before the end of the upload reaches the client", async () => {
  await using harness = await startHarness();
  // Answers on the header alone and ends its side, leaving the body unread.
  const app = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => {
      socket.pause();
      socket.end("HTTP/1.1 413 Too Big\r\nConnection: close\r\nContent-Length: 7\r\n\r\ntoo big");
    });
  });
  app.listen(0, "127.0.0.1");
  await once(app, "listening");
  try {
    const { port } = app.address() as AddressInfo;
    const headers = {
      "x-aws-proxy-auth": await harness.token(),
      "x-aws-proxy-port": String(port),
    };
    const outgoing = await openRequest(harness, { method: "POST", headers });
    outgoing.on("error", () => undefined);
    outgoing.write(Buffer.alloc(512 * 1024));
    const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
    const reply = await readReply(incoming);
    assert.deepEqual([reply.status, reply.body], [413, "too big"]);
    outgoing.destroy();
  } finally {
    app.close();
  }
});

test("requests of one client connection share one connection to the application, GET after GET", async () => {
  const ports = new Set<number | undefined>();
  await using harness = await startHarness({
    app: (request, response) => {
      ports.add(request.socket.remotePort);
      response.end("ok");
    },
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let index = 0; index < 3; index += 1) {
    const outgoing = await openRequest(harness, { agent });
    outgoing.end();
    const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
    await readReply(incoming);
  }
  agent.destroy();
  assert.equal(ports.size, 1);
});

test("different clients never share a connection to the application", async () => {
  const ports = new Set<number | undefined>();
  await using harness = await startHarness({
    app: (request, response) => {
      ports.add(request.socket.remotePort);
      response.end("ok");
    },
  });
  for (let index = 0; index < 3; index += 1) {
    await fetchOnce(harness, { headers: await harness.credentials() });
  }
  assert.equal(ports.size, 3);
});

test("a kept connection that the application closed is replaced without the client noticing", async () => {
  await using harness = await startHarness();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const get = async () => {
    const outgoing = await openRequest(harness, { agent });
    outgoing.end();
    const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
    return readReply(incoming);
  };
  // The application takes the next request on a kept connection, and hangs up instead of answering.
  let isFirst = true;
  harness.app.prependListener("request", (request: IncomingMessage) => {
    if (!isFirst && request.socket.bytesWritten > 0) request.socket.resetAndDestroy();
    isFirst = false;
  });
  assert.equal((await get()).status, 200);
  assert.equal((await get()).status, 200);
  agent.destroy();
});

test("pipelined requests are carried one after the other and answered in order", async () => {
  let inFlight = 0;
  let most = 0;
  await using harness = await startHarness({
    app: (request, response) => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      setImmediate(() => {
        inFlight -= 1;
        response.end(`<${request.url}>`);
      });
    },
  });
  const fields = Object.entries(await harness.credentials()).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${fields.join("")}\r\n`;
  const socket = await harness.connect();
  socket.write(get("/1") + get("/2") + get("/3"));
  const received = await readUntil(socket, "</3>");
  assert.deepEqual(received.match(/<\/\d>/g), ["</1>", "</2>", "</3>"]);
  assert.equal(most, 1);
  socket.destroy();
});

test("a client that pipelines without end is cut", async () => {
  await using harness = await startHarness({ app: () => undefined });
  const fields = Object.entries(await harness.credentials()).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const get = `GET / HTTP/1.1\r\nHost: localhost\r\n${fields.join("")}\r\n`;
  const socket = await harness.connect();
  socket.on("error", () => undefined);
  const closed = once(socket, "close");
  socket.write(get);
  await once(harness.app, "request");
  socket.write(get.repeat(40));
  await closed;
  await until(() => harness.traffic.leases[0]?.disposals === 1, "the lease is back");
  assert.equal(harness.traffic.leases.length, 1);
});

test("HTTP/1.0 clients get a body without chunks", async () => {
  await using harness = await startHarness({
    app: (_request, response) => {
      response.write("a");
      response.end("b");
    },
  });
  const fields = Object.entries(await harness.credentials()).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const socket = await harness.connect();
  socket.write(`GET / HTTP/1.0\r\nHost: localhost\r\n${fields.join("")}\r\n`);
  const received = (await buffer(socket)).toString();
  assert.match(received, /\r\n\r\nab$/);
});

test("the ingress answers no plain HTTP", async () => {
  await using harness = await startHarness();
  const outgoing = plainRequest({ ...harness.ingress.address });
  outgoing.end();
  await assert.rejects(once(outgoing, "response"));
});
