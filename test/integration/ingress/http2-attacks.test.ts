// What a hostile client can do with HTTP/2: each attack ends its stream or its session, reaches no application, and
// leaves the ingress serving others.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  type Fields,
  frame,
  framesOf,
  GOAWAY,
  HEADERS,
  hpack,
  number,
  PING,
  PREFACE,
  type ReceivedFrame,
  RESET,
  SETTINGS,
  WINDOW_UPDATE,
} from "../../support/http2-frames.ts";
import { ENDPOINT_HOST, fetchOnce, type Harness, startHarness } from "./harness.ts";

const REQUEST: Fields = [
  [":method", "POST"],
  [":scheme", "https"],
  [":authority", ENDPOINT_HOST],
  [":path", "/"],
];

async function openRaw(harness: Harness): Promise<TLSSocket> {
  const { host, port } = harness.ingress.address;
  const ca = harness.caCertificate;
  const socket = connectTls({ host, port, ca, servername: ENDPOINT_HOST, ALPNProtocols: ["h2"] });
  socket.on("error", () => undefined);
  await once(socket, "secureConnect");
  socket.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0)]));
  return socket;
}

/** The frames received until `isLast` or the end of the connection. */
async function readFrames(
  socket: TLSSocket,
  isLast: (type: number, stream: number) => boolean,
): Promise<ReceivedFrame[]> {
  const frames: ReceivedFrame[] = [];
  for await (const received of framesOf(socket)) {
    frames.push(received);
    if (isLast(received.type, received.stream)) break;
  }
  return frames;
}

async function startCounting() {
  const seen: string[] = [];
  const harness = await startHarness({
    app: (request, response) => {
      seen.push(`${request.method} ${request.url} ${JSON.stringify(request.headers)}`);
      request.resume();
      response.end("seen");
    },
  });
  return { harness, seen };
}

async function assertStillServes(harness: Harness): Promise<void> {
  const reply = await fetchOnce(harness, { headers: await harness.credentials() });
  assert.equal(reply.status, 200);
}

const without = (name: string) => REQUEST.filter(([field]) => field !== name);
const HEADER_ATTACKS: readonly [string, Fields, boolean][] = [
  ["transfer-encoding (TE downgrade)", [...REQUEST, ["transfer-encoding", "chunked"]], false],
  ["a connection field", [...REQUEST, ["connection", "close"]], false],
  ["an upgrade field", [...REQUEST, ["upgrade", "h2c"]], false],
  ["a te field other than trailers", [...REQUEST, ["te", "chunked"]], false],
  ["an upper case name", [...REQUEST, ["X-Upper", "1"]], false],
  ["two different lengths", [...REQUEST, ["content-length", "1"], ["content-length", "2"]], false],
  ["a body shorter than its length", [...REQUEST, ["content-length", "5"]], true],
  ["a host that contradicts the authority", [...REQUEST, ["host", "example.com"]], true],
  ["a second path", [...REQUEST, [":path", "/admin"]], false],
  ["a pseudo-header field after a regular one", [["x-a", "b"], ...REQUEST], false],
  ["an unknown pseudo-header field", [[":x", "y"], ...REQUEST], false],
  ["a path with a space", [...without(":path"), [":path", "/ HTTP/1.1"]], true],
  ["a path with a line break", [...without(":path"), [":path", "/\r\nX: y"]], true],
  ["an absolute path", [...without(":path"), [":path", "https://example.com/"]], true],
  ["a scheme that is a URL", [...without(":scheme"), [":scheme", "https://x/"]], true],
  ["a method with a line break", [...without(":method"), [":method", "GET / X\r\n"]], true],
  [
    "CONNECT",
    [
      [":method", "CONNECT"],
      [":authority", "localhost:80"],
    ],
    true,
  ],
  ["more fields than the limit", [...REQUEST, ...Array(400).fill(["x-a", "b"] as const)], true],
];

for (const [name, fields, endsStream] of HEADER_ATTACKS) {
  test(`${name} in an HTTP/2 request is refused and the application sees nothing`, async () => {
    const { harness, seen } = await startCounting();
    await using _ = harness;
    const socket = await openRaw(harness);
    const credentials = Object.entries(await harness.credentials());
    const flags = END_HEADERS | (endsStream ? END_STREAM : 0);
    socket.write(frame(HEADERS, flags, 1, hpack([...fields, ...credentials])));
    const frames = await readFrames(
      socket,
      (type, stream) => (stream === 1 && (type === RESET || type === HEADERS)) || type === GOAWAY,
    );
    const last = frames.at(-1);
    // A header is a refusal: the first byte of its block is the indexed status 400, or a literal one.
    if (last?.type === HEADERS) assert.match(last.payload.toString("latin1"), /^\x8c|^\x08\x03/);
    assert.deepEqual(seen, []);
    socket.destroy();
    await assertStillServes(harness);
  });
}

test("header injection by line breaks in a value does not reach the application", async () => {
  const { harness, seen } = await startCounting();
  await using _ = harness;
  const socket = await openRaw(harness);
  const credentials = Object.entries(await harness.credentials());
  const fields: Fields = [...REQUEST, ...credentials, ["x-a", "b\r\nX-Injected: 1"]];
  socket.write(frame(HEADERS, END_HEADERS | END_STREAM, 1, hpack(fields)));
  await readFrames(socket, (type, stream) => stream === 1 || type === GOAWAY);
  assert.doesNotMatch(seen.join(), /injected/i);
  socket.destroy();
  await assertStillServes(harness);
});

/** Frames that a client sends over and over; each attack must end in the end of its session. */
type Flood = readonly [string, (index: number, request: Buffer) => Buffer];
const FLOODS: readonly Flood[] = [
  [
    "rapid reset",
    (index, request) =>
      Buffer.concat([
        frame(HEADERS, END_HEADERS | END_STREAM, index * 2 + 1, request),
        frame(RESET, 0, index * 2 + 1, Buffer.from([0, 0, 0, 8])),
      ]),
  ],
  ["a settings flood", () => frame(SETTINGS, 0, 0)],
  ["a ping flood", () => frame(PING, 0, 0, Buffer.alloc(8))],
  [
    "a ping flood beside a call that carries nothing",
    (index, request) =>
      index === 0
        ? frame(HEADERS, END_HEADERS, 1, request)
        : Buffer.concat(Array<Buffer>(5).fill(frame(PING, 0, 0, Buffer.alloc(8)))),
  ],
  [
    "a flood of empty data",
    (index, request) => (index === 0 ? frame(HEADERS, END_HEADERS, 1, request) : frame(DATA, 0, 1)),
  ],
  [
    "a continuation flood",
    (index, request) =>
      index === 0 ? frame(HEADERS, 0, 1, request) : frame(CONTINUATION, 0, 1, Buffer.alloc(0)),
  ],
  ...(
    [
      ["a window that does not change", () => frame(WINDOW_UPDATE, 0, 1, number(0))],
      ["a window that overflows", () => frame(WINDOW_UPDATE, 0, 1, number(2 ** 31 - 1))],
      ["too long a body", () => frame(DATA, 0, 1, Buffer.alloc(3))],
      ["too short a body", () => frame(DATA, END_STREAM, 1, Buffer.alloc(1))],
    ] as const
  ).map(([fault, make]): Flood => [
    `resets provoked by ${fault} ("MadeYouReset")`,
    (index) => {
      const stream = index * 2 + 1;
      const broken = make();
      broken.writeUInt32BE(stream, 5);
      const request = hpack([...REQUEST, ["content-length", "2"]]);
      return Buffer.concat([frame(HEADERS, END_HEADERS, stream, request), broken]);
    },
  ]),
  [
    "a flood of streams beyond the limit",
    (index, request) => frame(HEADERS, END_HEADERS, index * 2 + 1, request),
  ],
];

for (const [name, make] of FLOODS) {
  test(`${name} ends the session and nothing else`, async () => {
    await using harness = await startHarness();
    harness.app.removeAllListeners("request");
    const socket = await openRaw(harness);
    const credentials = Object.entries(await harness.credentials());
    const request = hpack([...REQUEST, ...credentials]);
    const frames = Array.from({ length: 3000 }, (_, index) => make(index, request));
    const ended = readFrames(socket, () => false);
    socket.write(Buffer.concat(frames));
    await ended;
    harness.app.on("request", (_request, response) => response.end("hello"));
    await assertStillServes(harness);
  });
}

test("a header larger than the limit is refused", async () => {
  const { harness, seen } = await startCounting();
  await using _ = harness;
  const socket = await openRaw(harness);
  const credentials = Object.entries(await harness.credentials());
  const block = hpack([...REQUEST, ...credentials, ["x-a", "a".repeat(40_000)]]);
  const [first, second, third] = [0, 16_000, 32_000].map((at) => block.subarray(at, at + 16_000));
  socket.write(
    Buffer.concat([
      frame(HEADERS, END_STREAM, 1, first),
      frame(CONTINUATION, 0, 1, second),
      frame(CONTINUATION, END_HEADERS, 1, third),
    ]),
  );
  await readFrames(socket, (type, stream) => type === GOAWAY || stream === 1);
  assert.deepEqual(seen, []);
  socket.destroy();
});

test("a client that sends no frames is cut", async () => {
  await using harness = await startHarness({ headersTimeoutMs: 50 });
  const { host, port } = harness.ingress.address;
  const ca = harness.caCertificate;
  const socket = connectTls({ host, port, ca, servername: ENDPOINT_HOST, ALPNProtocols: ["h2"] });
  socket.on("error", () => undefined);
  socket.resume();
  await once(socket, "close");
});
