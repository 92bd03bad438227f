// Requests and responses of one reading and known length, which take another way through the ingress than the others,
// and the passage from one way to the other.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { ENDPOINT_HOST, type Harness, readUntil, startHarness, until } from "./harness.ts";

const MIB = 1024 * 1024;

async function fieldsOf(harness: Harness, port = harness.appPort): Promise<string> {
  return `Host: localhost\r\nX-aws-proxy-auth: ${await harness.token()}\r\nX-aws-proxy-port: ${port}\r\n`;
}

/** An application that gives every request the bytes; its connections. */
async function startRawApp(answer: string) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined).on("data", () => socket.write(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    sockets,
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Writes until nothing is taken any more; how much that was. */
async function fill(write: (chunk: Buffer) => boolean): Promise<number> {
  const chunk = Buffer.alloc(64 * 1024);
  let [written, last] = [0, -1];
  while (last !== written) {
    last = written;
    while (written < 256 * MIB && write(chunk)) written += chunk.length;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  return written;
}

test("plain and other requests pipelined together are answered in order", async () => {
  await using harness = await startHarness({
    app: (request, response) => {
      void text(request).then((body) => response.end(`<${request.url}${body}>`));
    },
  });
  const fields = await fieldsOf(harness);
  const socket = await harness.connect();
  socket.write(
    `POST /1 HTTP/1.1\r\n${fields}Content-Length: 1\r\n\r\na` +
      `GET /2 HTTP/1.1\r\n${fields}\r\n` +
      `POST /3 HTTP/1.1\r\n${fields}Transfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n` +
      `GET /4 HTTP/1.1\r\n${fields}\r\n`,
  );
  const received = await readUntil(socket, "</4>");
  assert.deepEqual(received.match(/<\/\w+>/g), ["</1a>", "</2>", "</3b>", "</4>"]);
  socket.destroy();
});

test("a body that comes in pieces after its header reaches the application whole", async () => {
  const bodies: string[] = [];
  await using harness = await startHarness({
    app: (request, response) => {
      void text(request).then((body) => {
        bodies.push(body);
        response.end("got");
      });
    },
  });
  const socket = await harness.connect();
  socket.write(`PUT / HTTP/1.1\r\n${await fieldsOf(harness)}Content-Length: 6\r\n\r\n`);
  await once(harness.app, "request");
  for (const piece of ["on", "e tw"]) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await readUntil(socket, "got");
  assert.deepEqual(bodies, ["one tw"]);
  socket.destroy();
});

test("what an application sends beyond its announced body reaches nobody", async () => {
  await using harness = await startHarness();
  await using app = await startRawApp(
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 Bad",
  );
  const request = `GET / HTTP/1.1\r\n${await fieldsOf(harness, app.port)}\r\n`;
  const socket = await harness.connect();
  for (let count = 1; count <= 2; count += 1) {
    socket.write(request);
    assert.match(await readUntil(socket, "\r\n\r\nok"), /\r\n\r\nok$/);
    assert.equal(app.sockets.length, count);
  }
  socket.destroy();
});

test("an answer that is not plain passes, and so does the next", async () => {
  await using harness = await startHarness();
  await using app = await startRawApp(
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
  );
  const request = `GET / HTTP/1.1\r\n${await fieldsOf(harness, app.port)}\r\n`;
  const socket = await harness.connect();
  for (let count = 0; count < 2; count += 1) {
    socket.write(request);
    const received = await readUntil(socket, "0\r\n\r\n");
    assert.match(
      received,
      /^HTTP\/1\.1 103 .*HTTP\/1\.1 200 OK\r\n.*\r\n\r\n2\r\nok\r\n0\r\n\r\n$/s,
    );
  }
  socket.destroy();
});

test("an answer that breaks in the packet of its header ends the connection", async () => {
  await using harness = await startHarness();
  await using app = await startRawApp(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
  );
  for (const timing of ["", "X-Torpor-Timing: 1\r\n"]) {
    const socket = await harness.connect();
    const ended = once(socket, "close");
    socket.on("error", () => undefined).resume();
    socket.write(`GET / HTTP/1.1\r\n${await fieldsOf(harness, app.port)}${timing}\r\n`);
    await ended;
  }
  await until(
    () => harness.traffic.leases.every(({ disposals }) => disposals === 1),
    "the leases are given back",
  );
});

test("a client that does not read holds back an application that has announced its body", async () => {
  let written = Promise.resolve(0);
  await using harness = await startHarness({
    app: (_request, response) => {
      response.writeHead(200, { "content-length": 512 * MIB });
      written = fill((chunk) => response.write(chunk));
    },
  });
  const socket = await harness.connect();
  socket.pause().write(`GET / HTTP/1.1\r\n${await fieldsOf(harness)}\r\n`);
  await once(harness.app, "request");
  const bytes = await written;
  assert.ok(bytes < 64 * MIB, `${bytes} bytes were taken from the application`);
  socket.destroy();
});

test("an application that does not read holds back a client that has announced its body", async () => {
  await using harness = await startHarness({ app: (request) => void request.pause() });
  const socket = await harness.connect();
  socket.on("error", () => undefined);
  socket.write(`PUT / HTTP/1.1\r\n${await fieldsOf(harness)}Content-Length: ${512 * MIB}\r\n\r\n`);
  const bytes = await fill((chunk) => socket.write(chunk));
  assert.ok(bytes < 64 * MIB, `${bytes} bytes were taken from the client`);
  socket.destroy();
});

test("requests of one HTTP/2 session share a connection to the application, one after the other", async () => {
  const ports = new Set<number | undefined>();
  await using harness = await startHarness({
    app: (request: IncomingMessage, response) => {
      ports.add(request.socket.remotePort);
      response.end("ok");
    },
  });
  const { host, port } = harness.ingress.address;
  const ca = harness.caCertificate;
  const session = connect(`https://${host}:${port}`, { servername: ENDPOINT_HOST, ca });
  for (let count = 0; count < 3; count += 1) {
    const stream = session.request({
      ":authority": ENDPOINT_HOST,
      ...(await harness.credentials()),
    });
    assert.equal(await text(stream), "ok");
  }
  session.destroy();
  assert.equal(ports.size, 1);
});
