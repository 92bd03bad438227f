// Requests that two parsers could read differently must not reach the application, or reach it as one thing only.

import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { buffer, text } from "node:stream/consumers";
import { test } from "node:test";
import { type Harness, readUntil, startHarness } from "./harness.ts";

/** An ingress to an application that notes the requests it got whole. */
function startRecording(seen: string[]): Promise<Harness> {
  return startHarness({
    app: (request: IncomingMessage, response) => {
      void text(request).then((body) => {
        seen.push(`${request.method} ${request.url} ${body}`);
        response.end("seen");
      }, ignoreCut);
    },
  });
}

/** A request cut midway was not got whole. */
const ignoreCut = () => undefined;

/** Sends the text with credentials in place of `{auth}`; the whole answer until the connection ends. */
async function exchange(harness: Harness, request: string): Promise<string> {
  const credentials = Object.entries(await harness.credentials());
  const fields = credentials.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const socket = await harness.connect();
  socket.on("error", () => undefined);
  socket.write(request.replaceAll("{auth}", fields), "latin1");
  return (await buffer(socket)).toString("latin1");
}

const ATTACKS: readonly [string, string][] = [
  [
    "CL.TE: Content-Length and Transfer-Encoding",
    "POST / HTTP/1.1\r\nHost: localhost\r\n{auth}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
  ],
  [
    "TE.CL: Transfer-Encoding and Content-Length",
    "POST / HTTP/1.1\r\nHost: localhost\r\n{auth}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /x",
  ],
  [
    "TE.TE: a second, odd coding",
    "POST / HTTP/1.1\r\nHost: localhost\r\n{auth}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
  ],
  [
    "a coding before chunked",
    "POST / HTTP/1.1\r\nHost: localhost\r\n{auth}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
  ],
  [
    "a coding that only looks like chunked",
    "POST / HTTP/1.1\r\nHost: localhost\r\n{auth}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
  ],
  [
    "two lengths",
    "POST / HTTP/1.1\r\nHost: localhost\r\n{auth}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
  ],
  ["a signed length", "POST / HTTP/1.1\r\nHost: localhost\r\n{auth}Content-Length: +1\r\n\r\na"],
  [
    "a bad chunk size",
    "POST / HTTP/1.1\r\nHost: localhost\r\n{auth}Transfer-Encoding: chunked\r\n\r\nzz\r\nab",
  ],
  [
    "a space before the colon",
    "GET / HTTP/1.1\r\nHost: localhost\r\n{auth}Content-Length : 5\r\n\r\nhello",
  ],
  ["a folded header line", "GET / HTTP/1.1\r\nHost: localhost\r\n{auth}X-A: b\r\n c: d\r\n\r\n"],
  ["a null byte in a value", "GET / HTTP/1.1\r\nHost: localhost\r\n{auth}X-A: b\0c\r\n\r\n"],
  [
    "a bare carriage return in a value",
    "GET / HTTP/1.1\r\nHost: localhost\r\n{auth}X-A: b\rX-B: c\r\n\r\n",
  ],
  ["no Host", "GET / HTTP/1.1\r\n{auth}\r\n"],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n{auth}\r\n"],
  [
    "an absolute target for another host",
    "GET https://127.0.0.1/ HTTP/1.1\r\nHost: localhost\r\n{auth}\r\n",
  ],
  ["CONNECT", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n{auth}\r\n"],
  [
    "an upgrade with a body",
    "GET / HTTP/1.1\r\nHost: localhost\r\n{auth}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nab",
  ],
  ["an asterisk target with GET", "GET * HTTP/1.1\r\nHost: localhost\r\n{auth}\r\n"],
  [
    "a header beyond the limit",
    `GET / HTTP/1.1\r\nHost: localhost\r\n{auth}X-A: ${"a".repeat(40_000)}\r\n\r\n`,
  ],
  [
    "more fields than the limit",
    `GET / HTTP/1.1\r\nHost: localhost\r\n{auth}${"X-A: b\r\n".repeat(300)}\r\n`,
  ],
];

for (const [name, request] of ATTACKS) {
  test(`${name} is refused and the application sees nothing`, async () => {
    const seen: string[] = [];
    await using harness = await startRecording(seen);
    const answer = await exchange(harness, request);
    // Where the header was good and the body was not, the connection is cut without an answer.
    assert.match(answer, /^(?:HTTP\/1\.1 4(?:00|31) .*)?$/s);
    assert.ok((answer.match(/HTTP\/1\.1 /g) ?? []).length <= 1);
    assert.deepEqual(seen, []);
  });
}

test("an absolute target for the same host reaches the application in origin form", async () => {
  const seen: string[] = [];
  await using harness = await startRecording(seen);
  const request =
    "GET https://LOCALHOST?q HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{auth}\r\n";
  assert.match(await exchange(harness, request), /^HTTP\/1\.1 200 /);
  assert.deepEqual(seen, ["GET /?q "]);
});

test("an upgrade to h2c is taken as an ordinary request", async () => {
  const seen: string[] = [];
  await using harness = await startRecording(seen);
  const hop =
    "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
  assert.match(
    await exchange(harness, `GET / HTTP/1.1\r\nHost: localhost\r\n${hop}{auth}\r\n`),
    /^HTTP\/1\.1 200 /,
  );
  assert.deepEqual(seen, ["GET / "]);
});

test("what follows a chunked body is a request of its own that needs its own token", async () => {
  const seen: string[] = [];
  await using harness = await startRecording(seen);
  const first =
    "POST /1 HTTP/1.1\r\nHost: localhost\r\n{auth}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
  const second = "GET /2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const answer = await exchange(harness, first + second);
  assert.deepEqual(answer.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 200", "HTTP/1.1 403"]);
  assert.deepEqual(seen, ["POST /1 a"]);
});

test("a client that takes too long over its header is cut with 408", async () => {
  await using harness = await startHarness({ headersTimeoutMs: 50 });
  const socket = await harness.connect();
  socket.write("GET / HTTP/1.1\r\nHost: ");
  assert.match(await readUntil(socket, "\r\n\r\n"), /^HTTP\/1\.1 408 /);
  socket.destroy();
});
