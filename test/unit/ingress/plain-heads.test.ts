import assert from "node:assert/strict";
import { createServer, type IncomingMessage, request as httpRequest } from "node:http";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { headText, readPlainResponse } from "../../../src/ingress/plain-heads.ts";
import { PlainRequestReader } from "../../../src/ingress/plain-requests.ts";

const REQUEST = ["GET /a?b=c HTTP/1.1", "Host: localhost", "X-A: b"];
const RESPONSE = ["HTTP/1.1 200 OK", "Content-Length: 2", "X-A: b"];
/** What fuzzing puts into a head, in place of something or between. */
const PIECES = [
  ...[
    "\r",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\0",
    "\x7f",
    "\x01",
    ":",
    ";",
    ",",
    "#",
    "é",
    "\xa0",
    "/",
    "*",
  ],
  ...["Content-Length: 2\r\n", "content-length:2\r\n", "Content-Length: +2\r\n", "Host: a\r\n"],
  ...["Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n"],
  ...[
    "Upgrade: h2c\r\n",
    "Expect: 100-continue\r\n",
    " folded\r\n",
    "X-B:\r\n",
    "X-C: \t d \t\r\n",
  ],
  ...[
    "HTTP/1.0",
    "HTTP/1.1",
    "POST",
    "get",
    "204",
    "304",
    "200",
    "101",
    "Keep-Alive: timeout=1\r\n",
  ],
];
const ROUNDS = 4000;

/** The same numbers on every run. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function mutate(head: string, random: (below: number) => number): string {
  let text = head;
  for (let count = random(4); count > 0; count -= 1) {
    const at = random(text.length + 1);
    const removed = random(3) === 0 ? random(6) : 0;
    text = text.slice(0, at) + (PIECES[random(PIECES.length)] ?? "") + text.slice(at + removed);
  }
  return text;
}

function pipe(bytes: string): Duplex {
  const stream = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  stream.push(Buffer.from(bytes, "latin1"));
  return stream;
}

/** As a connection's first request. */
function readOnce(head: string) {
  return new PlainRequestReader().read(Buffer.from(`${head}\r\n\r\n`, "latin1"))?.head;
}

/** As the next two requests of a connection, the second of which is a repetition with a body behind it. */
function readTwice(reader: PlainRequestReader, head: string) {
  const bytes = Buffer.from(`${head}\r\n\r\n`, "latin1");
  const first = reader.read(bytes);
  const second = reader.read(Buffer.concat([bytes, Buffer.from("GET / HTTP/1.1\r\n\r\n")]));
  assert.deepEqual(second, first);
  if (first !== undefined) assert.equal(first.end, bytes.indexOf("\r\n\r\n") + 4);
  assert.deepEqual(first?.head, readOnce(head));
  return first?.head;
}

/** The request as node:http's parser reads it; undefined when it refuses. */
function readByNode(head: string): Promise<IncomingMessage | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    const stream = pipe(`${head}\r\n\r\n`);
    const settle = (request: IncomingMessage | undefined) => {
      resolve(request);
      stream.destroy();
    };
    server.on("request", settle).on("checkContinue", settle).on("checkExpectation", settle);
    server
      .on("upgrade", settle)
      .on("connect", settle)
      .on("clientError", () => settle(undefined));
    server.emit("connection", stream);
    // A head that node:http holds to be unfinished.
    setImmediate(() => setImmediate(() => settle(undefined)));
  });
}

/** The response as node:http's parser reads it; undefined when it refuses. */
function readAnswerByNode(head: string, method: string): Promise<IncomingMessage | undefined> {
  return new Promise((resolve) => {
    const stream = pipe(`${head}\r\n\r\n`);
    const outgoing = httpRequest({ createConnection: () => stream, method });
    const settle = (response: IncomingMessage | undefined) => {
      resolve(response);
      outgoing.destroy();
    };
    outgoing.on("response", settle).on("error", () => settle(undefined));
    outgoing.end();
    setImmediate(() => setImmediate(() => setImmediate(() => settle(undefined))));
  });
}

test("PlainRequestReader reads what node:http reads, or nothing", async () => {
  const reader = new PlainRequestReader();
  const random = createRandom(1);
  let accepted = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const head = mutate(REQUEST.join("\r\n"), random);
    const plain = head.includes("\r\n\r\n") ? undefined : readTwice(reader, head);
    if (plain === undefined) continue;
    accepted += 1;
    const read = await readByNode(head);
    const context = JSON.stringify(head);
    assert.ok(read, `node:http refuses ${context}`);
    assert.equal(read.httpVersion, "1.1", context);
    assert.deepEqual([plain.method, plain.target], [read.method, read.url], context);
    assert.deepEqual(plain.fields, read.rawHeaders, context);
    assert.equal(plain.host, read.headers.host, context);
    assert.equal(read.headers["transfer-encoding"], undefined, context);
    assert.equal(String(plain.bodyBytes), read.headers["content-length"] ?? "0", context);
  }
  assert.ok(accepted > ROUNDS / 10, `only ${accepted} heads were plain`);
});

test("readPlainResponse reads what node:http reads, or nothing", async () => {
  const random = createRandom(2);
  let accepted = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const head = mutate(RESPONSE.join("\r\n"), random);
    const method = random(4) === 0 ? "HEAD" : "GET";
    const plain = head.includes("\r\n\r\n") ? undefined : readPlainResponse(head, method);
    if (plain === undefined) continue;
    accepted += 1;
    const read = await readAnswerByNode(head, method);
    const context = JSON.stringify(head);
    assert.ok(read, `node:http refuses ${context}`);
    assert.deepEqual([plain.status, plain.message], [read.statusCode, read.statusMessage], context);
    assert.deepEqual(plain.fields, read.rawHeaders, context);
    assert.equal(read.headers["transfer-encoding"], undefined, context);
  }
  assert.ok(accepted > ROUNDS / 10, `only ${accepted} heads were plain`);
});

test("PlainRequestReader leaves to node:http what asks for more than an answer", () => {
  const head = REQUEST.join("\r\n");
  assert.ok(readOnce(head));
  for (const field of [
    ...["Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: websocket", "TE: trailers"],
    ...["Connection: close", "Connection: X-A", "Host: localhost", "X-Aws-Proxy-Force-H2: true"],
    ...["Content-Length: 1\r\nContent-Length: 1", "Content-Length: 1,1", "X-A : b", " folded"],
  ]) {
    assert.equal(readOnce(`${head}\r\n${field}`), undefined, field);
  }
  assert.equal(readOnce("GET / HTTP/1.1"), undefined);
  assert.equal(readOnce(head.replace("1.1", "1.0")), undefined);
  assert.equal(readOnce(`${head}${"\r\nX-A: b".repeat(255)}`), undefined);
  assert.equal(readOnce(`${head}\r\nX-A: ${"a".repeat(33_000)}`), undefined);
});

test("PlainRequestReader hands out the same fields while their bytes are the same", () => {
  const reader = new PlainRequestReader();
  const read = (text: string) => reader.read(Buffer.from(text, "latin1"))?.head;
  const fields = "\r\nHost: localhost\r\nX-A: b\r\n\r\n";
  const first = read(`GET /1 HTTP/1.1${fields}`);
  const second = read(`POST /22 HTTP/1.1${fields}body`);
  assert.deepEqual([second?.method, second?.target], ["POST", "/22"]);
  assert.ok(first);
  assert.equal(second?.fields, first.fields);
  assert.deepEqual(first.fields, ["Host", "localhost", "X-A", "b"]);
  assert.deepEqual(read(`GET / HTTP/1.1${fields.replace("b\r", "c\r")}`)?.fields[3], "c");
  assert.deepEqual(read(`GET / HTTP/1.1${fields.slice(0, -2)}X-C: d\r\n\r\n`)?.fields[5], "d");
  assert.equal(read(`GET / HTTP/1.1${fields.slice(0, -2)}`), undefined, "not all there");
  assert.equal(read("GET / HTTP/1.1\rHost: localhost\r\n\r\n"), undefined, "no line break");
  const long = `\r\nHost: localhost\r\nX-A: ${"a".repeat(5000)}\r\n\r\n`;
  assert.equal(read(`GET / HTTP/1.1${long}`)?.fields.length, 4);
  assert.equal(read(`GET / HTTP/1.1${long.replace("localhost", "otherhost")}`)?.host, "otherhost");
});

test("readPlainResponse knows the length of a body, and whether its connection is kept", () => {
  const read = (lines: string[], method = "GET") => {
    const head = readPlainResponse(lines.join("\r\n"), method);
    return head === undefined ? undefined : [head.bodyBytes, head.isKept];
  };
  assert.deepEqual(read(RESPONSE), [2, true]);
  assert.deepEqual(read(RESPONSE, "HEAD"), [0, true]);
  assert.deepEqual(read(["HTTP/1.1 204 No Content"]), [0, true]);
  assert.deepEqual(read([...RESPONSE, "Connection: close"]), [2, false]);
  assert.deepEqual(read([...RESPONSE, "Keep-Alive: timeout=2"]), [2, false]);
  assert.deepEqual(read([...RESPONSE, "Keep-Alive: timeout=5, max=100"]), [2, true]);
  assert.equal(read(["HTTP/1.1 200 OK"]), undefined);
  assert.equal(read([...RESPONSE, "Content-Length: 2"]), undefined);
  assert.equal(read(["HTTP/1.1 100 Continue"]), undefined);
});

test("headText writes the first line, the fields and the empty line", () => {
  assert.equal(headText("A", ["b", "c", "d", ""]), "A\r\nb: c\r\nd: \r\n\r\n");
});
