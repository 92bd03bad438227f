import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerStream, type StreamSession } from "../../../src/http2/stream.ts";
import { Http2Exchange } from "../../../src/ingress/http2-exchange.ts";
import { Http2Fields } from "../../../src/ingress/http2-fields.ts";

const SESSION: StreamSession = {
  ...{ windowBytes: 65_535, hasRoom: true, blockOf: (block: Buffer) => block },
  ...{ send: () => undefined, sendData: () => undefined, wait: () => undefined },
  ...{ consumed: () => undefined, blamed: () => undefined, ended: () => undefined },
};
const REQUEST = {
  ...{ method: "POST", path: "/", authority: "localhost", fields: [], expectsContinue: false },
  framing: { kind: "length", bytes: "100000" },
} as const;

function start() {
  const stream = new ServerStream(1, SESSION, { sendBytes: 65_535, receiveBytes: 2 ** 20 });
  const client = { connection: {} as never, fields: new Http2Fields(), clientAddress: undefined };
  const exchange = new Http2Exchange(stream, REQUEST, client);
  const bodies: Buffer[] = [];
  let ends = 0;
  const user = {
    takes: true,
    onBody(chunk: Buffer) {
      bodies.push(chunk);
      return this.takes;
    },
    onBodyEnd: () => void (ends += 1),
    onClientDrain: () => undefined,
    onClientClose: () => undefined,
  };
  const send = (text: string) => stream.receive(Buffer.from(text), text.length);
  return { stream, exchange, bodies, user, send, ends: () => ends };
}

const textOf = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString();

test("single bytes that nobody takes are kept in few pieces, in their order", () => {
  const { exchange, bodies, user, send, stream, ends } = start();
  user.takes = false;
  exchange.attach(user);
  const text = Array.from({ length: 20_000 }, (_, index) => String(index % 10)).join("");
  for (const character of text) send(character);
  stream.receiveEnd([]);
  assert.deepEqual([textOf(bodies), ends()], [text[0], 0], "one was said to be enough");
  user.takes = true;
  exchange.resumeBody();
  assert.equal(textOf(bodies), text);
  assert.ok(bodies.length < 400, `${bodies.length} pieces`);
  assert.equal(ends(), 1, "the end comes behind the last of them");
});

test("whoever takes little at a time gets what is left at the next, and the end once", () => {
  const { exchange, bodies, user, send, stream, ends } = start();
  for (const text of ["a", "b", "c"]) send(text);
  stream.receiveEnd([]);
  user.takes = false;
  exchange.attach(user);
  for (let count = 0; count < 5; count += 1) exchange.resumeBody();
  assert.deepEqual([textOf(bodies), ends()], ["abc", 1]);
});

test("a stream of Node gets the body that came before it, and its end", async () => {
  const { exchange, send, stream } = start();
  for (const text of ["a", "b"]) send(text);
  const { body } = exchange;
  const read: Buffer[] = [];
  body.on("data", (chunk: Buffer) => read.push(chunk));
  const ended = new Promise((resolve) => body.once("end", resolve));
  send("c");
  stream.receiveEnd([]);
  await ended;
  assert.equal(textOf(read), "abc");
});
