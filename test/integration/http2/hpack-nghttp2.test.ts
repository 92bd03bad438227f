// HPACK against the encoder and decoder of nghttp2, which Node's client uses: a server of just enough frames reads what the
// client sends with ours, and answers with ours.

import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  sensitiveHeaders,
} from "node:http2";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { type HeaderList, HpackDecoder } from "../../../src/http2/hpack-decoder.ts";
import { encodedSizeAtMost, writeFields } from "../../../src/http2/hpack-encoder.ts";
import { STATIC_NAMES } from "../../../src/http2/hpack-table.ts";

const PREFACE_BYTES = 24;
const HEAD_BYTES = 9;
const [HEADERS, SETTINGS, CONTINUATION] = [1, 4, 9];
const [END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY] = [0x1, 0x1, 0x4, 0x8, 0x20];
const HEADER_TABLE_SIZE = 1;

interface Peer extends AsyncDisposable {
  readonly client: ClientHttp2Session;
  /** The lists that the server has read, in order. */
  readonly lists: readonly HeaderList[];
  /** What the server answers next. */
  answer: readonly string[];
}

function writeHead(
  target: Buffer,
  head: { length: number; type: number; flags: number; stream: number },
): void {
  target.writeUIntBE(head.length, 0, 3);
  target.writeUInt8(head.type, 3);
  target.writeUInt8(head.flags, 4);
  target.writeUInt32BE(head.stream, 5);
}

function frameOf(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  writeHead(head, { length: payload.length, type, flags, stream: 0 });
  return Buffer.concat([head, payload]);
}

function settingsOf(tableBytes: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(HEADER_TABLE_SIZE, 0);
  payload.writeUInt32BE(tableBytes, 2);
  return frameOf(SETTINGS, 0, payload);
}

/** HEADERS with END_STREAM, in one buffer. */
function answerOf(stream: number, fields: readonly string[]): Buffer {
  const frame = Buffer.alloc(HEAD_BYTES + encodedSizeAtMost(fields));
  const end = writeFields(frame, HEAD_BYTES, fields);
  const flags = END_STREAM | END_HEADERS;
  writeHead(frame, { length: end - HEAD_BYTES, type: HEADERS, flags, stream });
  return frame.subarray(0, end);
}

/** The fragment of a header block in a HEADERS frame. */
function fragmentOf(payload: Buffer, flags: number): Buffer {
  const padding = (flags & PADDED) === 0 ? 0 : payload.readUInt8(0);
  const start = ((flags & PADDED) === 0 ? 0 : 1) + ((flags & PRIORITY) === 0 ? 0 : 5);
  return payload.subarray(start, payload.length - padding);
}

/** Calls `onBlock` with each header block of the connection. */
function readBlocks(socket: Socket, onBlock: (stream: number, block: Buffer) => void): void {
  let received = Buffer.alloc(0);
  let isAfterPreface = false;
  let fragments: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (!isAfterPreface) {
      if (received.length < PREFACE_BYTES) return;
      received = received.subarray(PREFACE_BYTES);
      isAfterPreface = true;
    }
    for (;;) {
      if (received.length < HEAD_BYTES) return;
      const end = HEAD_BYTES + received.readUIntBE(0, 3);
      if (received.length < end) return;
      const [type, flags] = [received.readUInt8(3), received.readUInt8(4)];
      const stream = received.readUInt32BE(5);
      const payload = received.subarray(HEAD_BYTES, end);
      received = received.subarray(end);
      if (type === SETTINGS && (flags & ACK) === 0)
        socket.write(frameOf(SETTINGS, ACK, Buffer.alloc(0)));
      if (type === HEADERS) fragments = [fragmentOf(payload, flags)];
      if (type === CONTINUATION) fragments.push(payload);
      if ((type === HEADERS || type === CONTINUATION) && (flags & END_HEADERS) !== 0)
        onBlock(stream, Buffer.concat(fragments));
    }
  });
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** A client and a server whose decoder has a table of `tableBytes`. */
async function startPeer(tableBytes: number): Promise<Peer> {
  const lists: HeaderList[] = [];
  const decoder = new HpackDecoder({ tableBytes, listBytes: 1 << 20, listFields: 1000 });
  const server = createServer((socket) => {
    socket.write(settingsOf(tableBytes));
    readBlocks(socket, (stream, block) => {
      lists.push(decoder.decode(block));
      socket.write(answerOf(stream, peer.answer));
    });
  });
  const port = await listen(server);
  const client = connectHttp2(`http://127.0.0.1:${port}`, {
    createConnection: () => connect(port, "127.0.0.1"),
  });
  const peer: Peer = {
    client,
    lists,
    answer: [":status", "200"],
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
  await once(client, "remoteSettings");
  return peer;
}

/** Sends a request; resolves to the header of the answer. */
async function ask(client: ClientHttp2Session, headers: OutgoingHttpHeaders) {
  const stream = client.request(headers, { endStream: true });
  const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
  stream.resume();
  await once(stream, "close");
  return answer;
}

/** The bytes that a value may have for nghttp2. */
const VALUE_BYTES = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).filter(
  (char) => /[\t\x20-\x7e\x80-\xff]/.test(char),
);

const value = fc.oneof(
  fc.constantFrom("", "gzip, deflate", "no-cache", "text/html", "1".repeat(300)),
  fc.string({ unit: fc.constantFrom(...VALUE_BYTES), maxLength: 60 }).map((text) => text.trim()),
  fc.string({ unit: fc.constantFrom(..."abcdef0123456789"), maxLength: 900 }),
);
/** Few names, so that they come again with other values, some of them of the static table. */
const name = fc.constantFrom(
  ...["user-agent", "accept", "accept-encoding", "authorization", "cache-control", "referer"],
  ...["x-aws-proxy-auth", "x-aws-proxy-port", "traceparent", "x-a", "x-b", "x-c", "x-d"],
);
const regular = fc.uniqueArray(fc.tuple(name, value), {
  maxLength: 10,
  selector: ([key]) => key,
});
const exchange = fc.record({
  method: fc.constantFrom("GET", "POST", "DELETE"),
  path: fc.oneof(
    fc.constantFrom("/", "/index.html"),
    fc.string({ unit: fc.constantFrom(..."/abc?=&%~_-."), maxLength: 80 }).map((end) => `/${end}`),
  ),
  /** Whether the fields of the request before are sent again, as clients do. */
  isSame: fc.boolean(),
  fields: regular,
  isSensitive: fc.boolean(),
  status: fc.constantFrom("200", "204", "299", "404", "503"),
  answer: regular,
});

for (const tableBytes of [0, 256, 4096, 65_536]) {
  test(`Node's client is understood and understands, table of ${tableBytes} bytes`, async () => {
    await using peer = await startPeer(tableBytes);
    let fields: [string, string][] = [];
    let last: readonly string[] | undefined;
    let repeated = 0;
    const property = fc.asyncProperty(exchange, async (now) => {
      if (!now.isSame) fields = now.fields;
      peer.answer = [":status", now.status, ...now.answer.flat()];
      const pseudo = { ":method": now.method, ":path": now.path, ":authority": "a.example:443" };
      const answer = await ask(peer.client, {
        ...{ ...pseudo, ...Object.fromEntries(fields) },
        ...(now.isSensitive && { [sensitiveHeaders]: fields.slice(0, 2).map(([key]) => key) }),
      });
      const list = peer.lists.at(-1);
      assert.ok(list !== undefined && !list.isTooLarge);
      assert.deepEqual(Object.fromEntries(pairsOf(list.pseudo)), { ...pseudo, ":scheme": "http" });
      assert.deepEqual(pairsOf(list.fields), fields);
      assert.equal(answer[":status"], Number(now.status));
      for (const [key, text] of now.answer) assert.equal(answer[key], text);
      if (list.fields === last && last.length > 0) repeated += 1;
      last = list.fields;
    });
    await fc.assert(property, { seed: 7, numRuns: 300 });
    assert.equal(peer.lists.length, 300);
    assert.ok(repeated > 10, `${repeated} lists were remembered`);
  });
}

test("each byte that a value may have is understood, Huffman coded, and answered", async () => {
  await using peer = await startPeer(4096);
  for (const char of VALUE_BYTES) {
    // Short codes around it make the coded form the shorter one, which is then what nghttp2 sends.
    const text = `aaaaaaaaaaaaaaaa${char}aaaaaaaaaaaaaaaa`;
    peer.answer = [":status", "200", "x-text", text];
    const answer = await ask(peer.client, { ":path": "/", "x-text": text });
    assert.deepEqual(peer.lists.at(-1)?.fields, ["x-text", text]);
    assert.equal(answer["x-text"], text);
  }
});

test("the static table is the one of nghttp2", async () => {
  await using peer = await startPeer(4096);
  for (const status of ["200", "204", "206", "304", "400", "404", "500"]) {
    peer.answer = [":status", status];
    assert.equal((await ask(peer.client, { ":path": "/" }))[":status"], Number(status));
  }
  // The one name that HTTP/2 forbids is left out, each other one is sent by its index.
  const names = STATIC_NAMES.slice(15).filter((each) => each !== "transfer-encoding");
  assert.equal(names.length, 46);
  peer.answer = [":status", "200", ...names.flatMap((each) => [each, "0"])];
  const { "set-cookie": cookies, ...answer } = await ask(peer.client, { ":path": "/" });
  assert.deepEqual(cookies, ["0"]);
  for (const each of names) if (each !== "set-cookie") assert.equal(answer[each], "0", each);
});

test("a header in several frames is understood", async () => {
  await using peer = await startPeer(4096);
  const fields = Array.from({ length: 6 }, (_, index): [string, string] => [
    ...([`x-${index}`, String.fromCharCode(0xf0 + index).repeat(5000)] as const),
  ]);
  await ask(peer.client, { ":path": "/", ...Object.fromEntries(fields) });
  assert.deepEqual(pairsOf(peer.lists.at(-1)?.fields ?? []), fields);
});

function pairsOf(list: readonly string[]): [string, string][] {
  return Array.from({ length: list.length / 2 }, (_, index) => [
    ...([list[2 * index] ?? "", list[2 * index + 1] ?? ""] as const),
  ]);
}
