// The session by frames written by hand: windows, the ends of streams and sessions, and clients that break the rules.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { CODE } from "../../../src/http2/codes.ts";
import { encodeFields } from "../../../src/http2/hpack-encoder.ts";
import type { RequestHeader } from "../../../src/http2/request-header.ts";
import { Http2Session } from "../../../src/http2/session.ts";
import type { ServerStream } from "../../../src/http2/stream.ts";
import {
  ACK,
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
  PADDED,
  PING,
  PREFACE,
  PRIORITY,
  PUSH,
  type ReceivedFrame,
  RESET,
  setting,
  SETTINGS,
  WINDOW_UPDATE,
} from "../../support/http2-frames.ts";

const KIB = 1024;
const STREAM_WINDOW = 64 * KIB;
const [HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE] = [1, 2, 4, 5];
const GET: Fields = [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", "localhost"],
  [":path", "/"],
];
const POST: Fields = [[":method", "POST"], ...GET.slice(1)];
const OK = encodeFields([":status", "200"]);

/** A request as the session hands it out, and what its user hears. */
interface Taken {
  readonly stream: ServerStream;
  readonly header: RequestHeader | undefined;
  readonly heard: string[];
  readonly body: Buffer[];
  /** Whether the user takes what comes. */
  takes: boolean;
}

async function start(onRequest: (taken: Taken) => void = () => undefined) {
  const taken: Taken[] = [];
  const sessions: Http2Session[] = [];
  const sockets: Socket[] = [];
  let closes = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    const limits = {
      ...{ maxStreams: 4, streamWindowBytes: STREAM_WINDOW, windowBytes: 128 * KIB },
      ...{ headerBytes: 32 * KIB, headerFields: 64, prefaceTimeoutMs: 10_000, keepAliveMs: 10_000 },
    };
    const hooks = {
      onRequest(stream: ServerStream, header: RequestHeader | undefined) {
        const one: Taken = { stream, header, heard: [], body: [], takes: true };
        taken.push(one);
        stream.attach({
          onData(chunk) {
            one.body.push(chunk);
            return one.takes;
          },
          onEnd: () => one.heard.push("end"),
          onDrain: () => one.heard.push("drain"),
          onClose: () => one.heard.push(`close ${stream.resetCode ?? "well"}`),
        });
        onRequest(one);
      },
      onClose: () => (closes += 1),
    };
    sockets.push(socket);
    sessions.push(new Http2Session(socket, limits, hooks));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: "127.0.0.1", noDelay: true });
  client.on("error", () => undefined);
  await once(client, "connect");
  const frames = framesOf(client);
  client.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0)]));
  return {
    ...{ client, taken, sockets },
    session: () => sessions[0] as Http2Session,
    closes: () => closes,
    send: (...sent: Buffer[]) => void client.write(Buffer.concat(sent)),
    /** The frames until one that is meant, which is the last of them. */
    async until(isMeant: (frame: ReceivedFrame) => boolean): Promise<ReceivedFrame[]> {
      const passed: ReceivedFrame[] = [];
      for (;;) {
        const { value, done } = await frames.next();
        assert.ok(done !== true, `ended after ${passed.map(({ type }) => type).join(" ")}`);
        passed.push(value);
        if (isMeant(value)) return passed;
      }
    },
    /** Exactly so many bytes of the stream's body. */
    async untilBytes(stream: number, bytes: number): Promise<void> {
      let sum = 0;
      const frames = await this.until((one) => (sum += bytesOf([one], stream)) >= bytes);
      assert.equal(bytesOf(frames, stream), bytes);
    },
    /** Everything up to the answer to a PING: what the session makes of what was sent before. */
    async settle(): Promise<ReceivedFrame[]> {
      const mark = Buffer.from("settled.");
      client.write(frame(PING, 0, 0, mark));
      const passed = await this.until(({ type, payload }) => type === PING && payload.equals(mark));
      return passed.slice(0, -1);
    },
    /** The code with which the session ends. */
    async failure(): Promise<number> {
      const [last] = (await this.until(({ type }) => type === GOAWAY)).slice(-1);
      return last?.payload.readUInt32BE(4) ?? -1;
    },
    async [Symbol.asyncDispose]() {
      client.destroy();
      for (const socket of sockets) socket.destroy();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

const request = (stream: number, fields: Fields = GET, flags = END_HEADERS | END_STREAM) =>
  frame(HEADERS, flags, stream, hpack(fields));
const bytesOf = (frames: ReceivedFrame[], stream: number) =>
  frames
    .filter((one) => one.type === DATA && one.stream === stream)
    .reduce((sum, { payload }) => sum + payload.length, 0);
const nothing = () => undefined;

test("a request is handed out with its header, and its answer goes out", async () => {
  await using it = await start(({ stream }) =>
    stream.output.respondWhole(OK, Buffer.from("hello")),
  );
  it.send(request(1, [...GET, ["x-a", "b"]]));
  const frames = await it.until(({ type }) => type === DATA);
  assert.deepEqual(frames.at(-1)?.payload.toString(), "hello");
  assert.equal(frames.at(-1)?.flags, END_STREAM);
  const [one] = it.taken;
  assert.deepEqual([one?.header?.method, one?.header?.path], ["GET", "/"]);
  assert.deepEqual(one?.header?.fields, ["x-a", "b"]);
  assert.deepEqual(one.heard, ["end", "close well"]);
});

test("an answer goes as far as the windows do, and on when they are widened", async () => {
  await using it = await start(({ stream }) => {
    stream.output.respond(OK, false);
    stream.output.write(Buffer.alloc(200 * KIB), nothing);
    stream.output.end([], nothing);
  });
  it.send(request(1));
  await it.untilBytes(1, 65_535);
  assert.equal(bytesOf(await it.settle(), 1), 0, "no more than the window that all begin with");
  it.send(frame(WINDOW_UPDATE, 0, 1, number(100 * KIB)));
  assert.equal(bytesOf(await it.settle(), 1), 0, "the session has no window");
  it.send(frame(WINDOW_UPDATE, 0, 0, number(10 * KIB)));
  await it.untilBytes(1, 10 * KIB);
  assert.equal(bytesOf(await it.settle(), 1), 0);
  it.send(frame(WINDOW_UPDATE, 0, 0, number(1000 * KIB)));
  await it.untilBytes(1, 90 * KIB);
  assert.equal(bytesOf(await it.settle(), 1), 0, "the stream has no window");
  it.send(frame(WINDOW_UPDATE, 0, 1, number(1000 * KIB)));
  const rest = await it.until(({ type, flags }) => type === DATA && flags === END_STREAM);
  assert.equal(65_535 + 100 * KIB + bytesOf(rest, 1), 200 * KIB);
});

test("a change of the initial window counts for the streams that are there, below zero too", async () => {
  await using it = await start(({ stream }) => {
    stream.output.respond(OK, false);
    stream.output.write(Buffer.alloc(100 * KIB), nothing);
  });
  it.send(setting(INITIAL_WINDOW_SIZE, 1000), request(1));
  assert.equal(bytesOf(await it.settle(), 1), 1000);
  it.send(setting(INITIAL_WINDOW_SIZE, 0), frame(WINDOW_UPDATE, 0, 1, number(1500)));
  assert.equal(bytesOf(await it.settle(), 1), 500);
  it.send(setting(INITIAL_WINDOW_SIZE, 2000));
  assert.equal(bytesOf(await it.settle(), 1), 2000);
});

test("a client may send anew what was taken, and no more", async () => {
  await using it = await start((one) => void (one.takes = false));
  const part = frame(DATA, 0, 1, Buffer.alloc(16 * KIB));
  it.send(request(1, POST, END_HEADERS), part, part, part);
  const told = (frames: ReceivedFrame[]) =>
    frames.filter(({ type, stream }) => type === WINDOW_UPDATE && stream === 1);
  assert.deepEqual(told(await it.settle()), []);
  it.taken[0]?.stream.resume();
  const [update] = told(await it.settle());
  assert.equal(update?.payload.readUInt32BE(0), 48 * KIB);
  it.send(part, part, part, part);
  assert.deepEqual(it.taken[0]?.heard, []);
  it.send(part);
  const [reset] = (await it.until(({ type }) => type === RESET)).slice(-1);
  assert.equal(reset?.payload.readUInt32BE(0), CODE.flowControlError);
  assert.equal(it.closes(), 0);
});

test("what is beyond the window of all streams ends the session", async () => {
  await using it = await start((one) => void (one.takes = false));
  const part = (stream: number) => frame(DATA, 0, stream, Buffer.alloc(16 * KIB));
  for (const stream of [1, 3, 5]) it.send(request(stream, POST, END_HEADERS));
  for (let count = 0; count < 3; count += 1) it.send(part(1), part(3), part(5));
  assert.equal(await it.failure(), CODE.flowControlError);
});

test("padding counts for the windows and is given back", async () => {
  await using it = await start();
  const padded = Buffer.alloc(256 + 1);
  padded[0] = 255;
  it.send(request(1, POST, END_HEADERS));
  for (let count = 0; count < 1000; count += 1) it.send(frame(DATA, PADDED, 1, padded));
  it.send(frame(DATA, END_STREAM, 1));
  await it.settle();
  assert.deepEqual(it.taken[0]?.heard, ["end"]);
  assert.equal(Buffer.concat(it.taken[0]?.body ?? []).length, 1000);
});

test("a body is as long as it says", async () => {
  for (const [length, body] of [
    ["5", "1234"],
    ["3", "1234"],
  ] as const) {
    await using it = await start();
    it.send(request(1, [...POST, ["content-length", length]], END_HEADERS));
    it.send(frame(DATA, END_STREAM, 1, Buffer.from(body)));
    const [reset] = (await it.until(({ type }) => type === RESET)).slice(-1);
    assert.equal(reset?.payload.readUInt32BE(0), CODE.protocolError);
    assert.deepEqual(it.taken[0]?.heard, [`close ${CODE.protocolError}`]);
  }
});

test("trailers end a request; what is none resets it", async () => {
  await using it = await start();
  it.send(request(1, POST, END_HEADERS), request(1, [["x-sum", "1"]]));
  await it.settle();
  assert.deepEqual(it.taken[0]?.heard, ["end"]);
  assert.deepEqual(it.taken[0]?.stream.trailers, ["x-sum", "1"]);
  const bad: [Fields, number][] = [
    [[["x-sum", "1"]], END_HEADERS],
    [[[":path", "/"]], END_HEADERS | END_STREAM],
    [[["X-Sum", "1"]], END_HEADERS | END_STREAM],
  ];
  for (const [index, [fields, flags]] of bad.entries()) {
    const stream = 3 + 2 * index;
    it.send(request(stream, POST, END_HEADERS), request(stream, fields, flags));
    const [reset] = (await it.until(({ type }) => type === RESET)).slice(-1);
    assert.equal(reset?.payload.readUInt32BE(0), CODE.protocolError);
  }
});

test("trailers of an answer follow its body", async () => {
  await using it = await start(({ stream }) => {
    stream.output.respond(OK, false);
    stream.output.write(Buffer.from("hello"), nothing);
    stream.output.end(["x-sum", "1"], nothing);
  });
  it.send(request(1));
  const frames = await it.until(({ flags, stream }) => stream === 1 && (flags & END_STREAM) !== 0);
  const kinds = frames.filter(({ stream }) => stream === 1).map(({ type }) => type);
  assert.deepEqual(kinds, [HEADERS, DATA, HEADERS]);
});

test("a header larger than a frame goes out in several", async () => {
  const long = encodeFields([":status", "200", "x-a", "a".repeat(40_000)]);
  await using it = await start(({ stream }) => stream.output.respond(long, true));
  it.send(request(1));
  const frames = (await it.settle()).filter(({ stream }) => stream === 1);
  assert.deepEqual(
    frames.map(({ type, flags }) => [type, flags]),
    [
      [HEADERS, END_STREAM],
      [CONTINUATION, 0],
      [CONTINUATION, END_HEADERS],
    ],
  );
  assert.deepEqual(Buffer.concat(frames.map(({ payload }) => payload)), long);
});

test("what comes for a stream that was reset here is not held against the client", async () => {
  await using it = await start(({ stream }) => stream.reset(CODE.cancel));
  const late = [frame(DATA, 0, 1, Buffer.from("late")), request(1, [["x-sum", "1"]])];
  it.send(request(1, POST, END_HEADERS), ...late, frame(WINDOW_UPDATE, 0, 1, number(1)));
  const frames = await it.settle();
  assert.equal(frames.filter(({ type }) => type === RESET || type === GOAWAY).length, 1);
});

test("what comes for a stream that has ended does not", async () => {
  await using it = await start(({ stream }) =>
    stream.output.respondWhole(OK, Buffer.from("hello")),
  );
  it.send(request(1), frame(DATA, 0, 1, Buffer.from("late")));
  const [reset] = (await it.until(({ type }) => type === RESET)).slice(-1);
  assert.equal(reset?.payload.readUInt32BE(0), CODE.streamClosed);
  it.send(request(1));
  assert.equal(await it.failure(), CODE.streamClosed);
});

test("streams beyond the limit are refused, and those within go on", async () => {
  await using it = await start();
  for (const stream of [1, 3, 5, 7, 9]) it.send(request(stream, POST, END_HEADERS));
  const resets = (await it.settle()).filter(({ type }) => type === RESET);
  assert.deepEqual(
    resets.map(({ stream, payload }) => [stream, payload.readUInt32BE(0)]),
    [[9, CODE.refusedStream]],
  );
  assert.equal(it.taken.length, 4);
});

test("a header that is too large is handed out as that", async () => {
  await using it = await start();
  const many = Array.from({ length: 100 }, (_, index) => [`x-${index}`, "a"] as const);
  it.send(request(1, [...GET, ...many]));
  await it.settle();
  assert.equal(it.taken.length, 1);
  assert.equal(it.taken[0]?.header, undefined);
});

test("a session that shuts down takes what the client has sent before it knew, and ends after that", async () => {
  await using it = await start();
  it.send(request(1));
  await it.settle();
  it.session().shutDown();
  const [goaway, ping] = (await it.until(({ type }) => type === PING)).slice(-2);
  assert.equal(goaway?.payload.readUInt32BE(0), 2 ** 31 - 1);
  it.send(request(3), frame(PING, ACK, 0, ping?.payload));
  const [last] = (await it.until(({ type }) => type === GOAWAY)).slice(-1);
  assert.deepEqual([last?.payload.readUInt32BE(0), last?.payload.readUInt32BE(4)], [3, 0]);
  it.send(request(5), request(7, POST, END_HEADERS), frame(DATA, 0, 7, Buffer.from("late")));
  await it.settle();
  assert.equal(it.taken.length, 2);
  for (const { stream } of it.taken) stream.output.respondWhole(OK, Buffer.from("hello"));
  assert.equal(await it.failure(), CODE.noError);
  await once(it.sockets[0] as Socket, "close");
  assert.equal(it.closes(), 1);
});

test("a client that goes after its answers gets them", async () => {
  await using it = await start();
  it.send(request(1), frame(GOAWAY, 0, 0, Buffer.alloc(8)));
  await it.settle();
  it.taken[0]?.stream.output.respondWhole(OK, Buffer.from("hello"));
  const frames = await it.until(({ type }) => type === DATA);
  assert.equal(frames.at(-1)?.payload.toString(), "hello");
  await once(it.client, "close");
});

test("a lost connection and a reset are heard of by whoever carries a stream, once", async () => {
  await using it = await start();
  it.send(request(1, POST, END_HEADERS), request(3, POST, END_HEADERS));
  it.send(frame(RESET, 0, 1, number(CODE.cancel)));
  await it.settle();
  it.client.destroy();
  await once(it.sockets[0] as Socket, "close");
  const closed = [`close ${CODE.cancel}`];
  assert.deepEqual(
    it.taken.map(({ heard }) => heard),
    [closed, closed],
  );
  assert.equal(it.closes(), 1);
});

test("a client that does not read is not read from", async () => {
  const large = encodeFields([":status", "200", "x-a", "a".repeat(100 * KIB)]);
  await using it = await start(({ stream }) => stream.output.respond(large, true));
  await it.settle();
  it.client.pause();
  let sent = 0;
  const socket = it.sockets[0] as Socket;
  while (!socket.isPaused() && sent < 2000) {
    it.send(request(2 * sent + 1));
    sent += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(socket.isPaused());
  const held = socket.writableLength;
  it.send(...Array.from({ length: 100 }, (_, index) => request(2 * (sent + index) + 1)));
  await new Promise((resolve) => setTimeout(resolve, 50));
  // The system may still take some of it; a hundred more answers would be ten megabytes.
  assert.ok(socket.writableLength <= held, "nothing more is answered");
  it.client.resume();
  const last = 2 * (sent + 99) + 1;
  await it.until(({ stream, flags }) => stream === last && (flags & END_HEADERS) !== 0);
});

test("answers side by side share the connection", async () => {
  await using it = await start(({ stream }) => {
    stream.output.respond(OK, false);
    stream.output.write(Buffer.alloc(32 * KIB * KIB), nothing);
    stream.output.end([], nothing);
  });
  // What the system takes at once goes to the first.
  it.client.pause();
  it.send(setting(INITIAL_WINDOW_SIZE, 2 ** 31 - 1));
  it.send(frame(WINDOW_UPDATE, 0, 0, number(2 ** 31 - 1 - 65_535)), request(1), request(3));
  it.client.resume();
  const isEnd = ({ type, flags }: ReceivedFrame) => type === DATA && flags === END_STREAM;
  const first = await it.until(isEnd);
  const other = bytesOf(first, first.at(-1)?.stream === 1 ? 3 : 1);
  assert.ok(other > 8 * KIB * KIB, `${other} bytes of the other`);
  await it.until(isEnd);
});

const block = hpack(GET);
const BROKEN: readonly [string, number, () => Buffer[]][] = [
  ["SETTINGS that is no SETTINGS", CODE.frameSizeError, () => [frame(SETTINGS, 0, 0, number(1))]],
  ["SETTINGS of a stream", CODE.protocolError, () => [frame(SETTINGS, 0, 1)]],
  [
    "an acknowledgement that says something",
    CODE.frameSizeError,
    () => [frame(SETTINGS, ACK, 0, Buffer.alloc(6))],
  ],
  ["a window too large", CODE.flowControlError, () => [setting(INITIAL_WINDOW_SIZE, 2 ** 31)]],
  ["a push that is neither on nor off", CODE.protocolError, () => [setting(ENABLE_PUSH, 2)]],
  ["frames too small", CODE.protocolError, () => [setting(MAX_FRAME_SIZE, 100)]],
  [
    "too many settings",
    CODE.enhanceYourCalm,
    () => [
      frame(
        SETTINGS,
        0,
        0,
        Buffer.concat(Array<Buffer>(40).fill(setting(HEADER_TABLE_SIZE, 1).subarray(9))),
      ),
    ],
  ],
  ["a PING of another length", CODE.frameSizeError, () => [frame(PING, 0, 0, Buffer.alloc(7))]],
  ["a PING of a stream", CODE.protocolError, () => [frame(PING, 0, 1, Buffer.alloc(8))]],
  ["a PUSH_PROMISE", CODE.protocolError, () => [frame(PUSH, END_HEADERS, 1, Buffer.alloc(8))]],
  ["a stream of an even number", CODE.protocolError, () => [request(2)]],
  ["HEADERS of no stream", CODE.protocolError, () => [request(0)]],
  ["DATA of no stream", CODE.protocolError, () => [frame(DATA, 0, 0)]],
  ["DATA of a stream that has not begun", CODE.protocolError, () => [frame(DATA, 0, 1)]],
  ["a reset of one", CODE.protocolError, () => [frame(RESET, 0, 1, number(8))]],
  ["a window of one", CODE.protocolError, () => [frame(WINDOW_UPDATE, 0, 1, number(8))]],
  [
    "a window that does not change",
    CODE.protocolError,
    () => [frame(WINDOW_UPDATE, 0, 0, number(0))],
  ],
  [
    "a window that overflows",
    CODE.flowControlError,
    () => [frame(WINDOW_UPDATE, 0, 0, number(2 ** 31 - 1))],
  ],
  ["a stream that goes back in numbers", CODE.protocolError, () => [request(5), request(3)]],
  ["a CONTINUATION of nothing", CODE.protocolError, () => [frame(CONTINUATION, 0, 1, block)]],
  [
    "a header torn apart by a PING",
    CODE.protocolError,
    () => [frame(HEADERS, 0, 1, block), frame(PING, 0, 0, Buffer.alloc(8))],
  ],
  [
    "a header torn apart by another stream's",
    CODE.protocolError,
    () => [frame(HEADERS, 0, 1, block), frame(CONTINUATION, END_HEADERS, 3, block)],
  ],
  [
    "a header of too many pieces",
    CODE.enhanceYourCalm,
    () => [
      frame(HEADERS, 0, 1, block),
      ...Array<Buffer>(64).fill(frame(CONTINUATION, 0, 1, Buffer.alloc(1))),
    ],
  ],
  [
    "a header that unpacks to nothing",
    CODE.compressionError,
    () => [frame(HEADERS, END_HEADERS, 1, Buffer.from([0x80]))],
  ],
  [
    "padding longer than its frame",
    CODE.protocolError,
    () => [request(1, POST, END_HEADERS), frame(DATA, PADDED, 1, Buffer.from([9, 0]))],
  ],
  ["a frame too large", CODE.frameSizeError, () => [frame(DATA, 0, 1, Buffer.alloc(16_385))]],
  [
    "a PRIORITY of another length",
    CODE.frameSizeError,
    () => [frame(PRIORITY, 0, 1, Buffer.alloc(4))],
  ],
  [
    "a stream that depends on itself",
    CODE.protocolError,
    () => [frame(PRIORITY, 0, 1, Buffer.from([0, 0, 0, 1, 0]))],
  ],
];

for (const [name, code, make] of BROKEN) {
  test(`${name} ends the session`, async () => {
    await using it = await start();
    it.send(...make());
    assert.equal(await it.failure(), code);
    await once(it.client, "close");
  });
}
