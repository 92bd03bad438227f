// More than a service should be asked: it answers what it can, refuses the rest, and neither grows nor stops serving.

import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import path from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { IMAGE_ARN, MICROVM_ID } from "../../unit/api/fixtures.ts";
import { type RawRequest, sendSigned, sign } from "./harness.ts";

const MIB = 1024 * 1024;
/**
 * What a service may grow by under any of these: buffers of sockets, room for young objects and code that is used the first
 * time come to 50 to 130 MiB, which the allocator keeps. What is sent here would be 400 MiB and more if it were held.
 */
const GROWTH_LIMIT = 200 * MIB;
const get = { method: "GET", path: `/2025-09-09/microvms/${MICROVM_ID}` };
const create = { method: "POST", path: "/2025-09-09/microvm-images" };
const run = { method: "POST", path: "/2025-09-09/microvms" };

describe("an API under too much", { timeout: 120_000 }, () => {
  let api: ChildProcess;
  let port: number;

  before(async () => {
    api = fork(path.join(import.meta.dirname, "api-process.ts"), {
      execArgv: ["--disable-warning=ExperimentalWarning", "--expose-gc"],
    });
    [port] = (await once(api, "message")) as [number];
    await answered(10, get);
  });

  after(async () => {
    const ended = once(api, "exit");
    api.disconnect();
    await ended;
  });

  async function residentBytes(): Promise<number> {
    api.send("memory");
    const [bytes] = (await once(api, "message")) as [number];
    return bytes;
  }

  /** Asserts that memory is back near where it was, and that others are served. */
  async function bounded(load: () => Promise<void>): Promise<void> {
    const before = await residentBytes();
    await load();
    assert.deepEqual(await answered(1, get), [200]);
    const growth = (await residentBytes()) - before;
    assert.ok(growth < GROWTH_LIMIT, `grew by ${Math.round(growth / MIB)} MiB`);
  }

  /** Statuses of `count` requests at once, each on a connection of its own. */
  async function answered(count: number, request: RawRequest): Promise<number[]> {
    const answers = Array.from({ length: count }, () => sendSigned({ port }, request));
    return (await Promise.all(answers)).map(({ status }) => status);
  }

  async function open(): Promise<Socket> {
    const socket = connect(port, "127.0.0.1");
    // However a connection ends, its test looks at what was answered on it.
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  }

  function bytesOf(request: RawRequest): string {
    const { method, path: target, headers = {}, body = "" } = sign(port, request);
    const fields = { ...headers, "content-length": String(body.length) };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    return `${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n${body.toString()}`;
  }

  it("answers 1,000 connections at once", async () => {
    await bounded(async () => {
      const sockets = await Promise.all(Array.from({ length: 1000 }, open));
      const answers = sockets.map((socket) => {
        socket.end(bytesOf(get));
        return text(socket);
      });
      const heads = (await Promise.all(answers)).map((answer) => answer.slice(0, 12));
      assert.deepEqual([...new Set(heads)], ["HTTP/1.1 200"]);
    });
  });

  it("serves others while 1,000 connections say nothing", async () => {
    const silent = await Promise.all(Array.from({ length: 1000 }, open));
    assert.deepEqual(await answered(5, get), [200, 200, 200, 200, 200]);
    for (const socket of silent) socket.destroy();
  });

  it("refuses bodies of 10 MiB without keeping them", async () => {
    const body = Buffer.alloc(10 * MIB, " ");
    await bounded(async () => {
      const statuses = await answered(40, { ...create, body });
      assert.deepEqual([...new Set(statuses)], [413]);
    });
  });

  for (const [where, body] of [
    ["a member that nobody knows", (deep: string) => `{"unknown":${deep}}`],
    ["a union", (deep: string) => `{"codeArtifact":{"unknown":${deep}}}`],
    ["a list", (deep: string) => `{"resources":${deep}}`],
    ["a map", (deep: string) => `{"tags":{"a":${deep}}}`],
    ["a text", (deep: string) => `{"name":${deep}}`],
  ] as const)
    it(`refuses 100,000 levels of nesting in ${where} as any wrong input`, async () => {
      const deep = "[".repeat(100_000) + "]".repeat(100_000);
      await bounded(async () => {
        assert.deepEqual(await answered(1, { ...create, body: body(deep) }), [400]);
      });
    });

  it("holds no answers for clients that do not read them", async () => {
    const one = bytesOf({ ...get, path: "/2025-09-09/microvms?maxResults=50" });
    await bounded(async () => {
      const deaf = await Promise.all(Array.from({ length: 8 }, open));
      for (const socket of deaf) {
        socket.pause();
        socket.write(one.repeat(20_000));
      }
      assert.deepEqual(await answered(3, get), [200, 200, 200]);
      for (const socket of deaf) socket.destroy();
    });
  });

  it("answers pipelined requests in their order", async () => {
    const socket = await open();
    const missing = { ...get, path: "/2025-09-09/microvms/microvm-0" };
    const list = { ...get, path: "/2025-09-09/microvms" };
    socket.end([get, missing, list, get].map(bytesOf).join(""));
    const statuses = [...(await text(socket)).matchAll(/HTTP\/1\.1 (\d+)/g)].map(
      ([, code]) => code,
    );
    assert.deepEqual(statuses, ["200", "502", "200", "200"]);
  });

  it("answers a client that has closed its side", async () => {
    const socket = await open();
    const body = JSON.stringify({ imageIdentifier: IMAGE_ARN });
    socket.end(bytesOf({ ...run, body }));
    assert.match(await text(socket), /^HTTP\/1\.1 200 /);
  });

  it("cuts a flood of header fields off", async () => {
    await bounded(async () => {
      const sockets = await Promise.all(Array.from({ length: 50 }, open));
      const flood = `GET /health HTTP/1.1\r\nHost: x\r\n${"a: b\r\n".repeat(100_000)}\r\n`;
      const answers = sockets.map((socket) => {
        socket.write(flood);
        return text(socket);
      });
      for (const answer of await Promise.allSettled(answers))
        if (answer.status === "fulfilled") assert.match(answer.value, /^(HTTP\/1\.1 431 |$)/);
    });
  });
});
