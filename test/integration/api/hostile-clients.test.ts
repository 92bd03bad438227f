import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { GetMicrovmCommand } from "@aws-sdk/client-lambda-microvms";
import { IMAGE_ARN, MICROVM_ID, microvmRecord } from "../../unit/api/fixtures.ts";
import { type Harness, send, sendSigned, sign, startHarness } from "./harness.ts";

let harness: Harness;
before(async () => {
  harness = await startHarness();
});
after(() => harness[Symbol.asyncDispose]());

const get = { method: "GET", path: `/2025-09-09/microvms/${MICROVM_ID}` };
const post = { method: "POST", path: "/2025-09-09/microvms" };

async function open({ port }: Harness = harness): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

/** Head of a signed request whose body is still to come. */
function signedHead(body: string, { port }: Harness = harness): string {
  const { headers = {} } = sign(port, { ...post, body });
  const lines = Object.entries({ ...headers, "content-length": String(body.length) });
  return [
    `POST ${post.path} HTTP/1.1`,
    ...lines.map(([name, value]) => `${name}: ${value}`),
    "",
    "",
  ].join("\r\n");
}

async function assertServes(server: Harness = harness): Promise<void> {
  const { status } = await sendSigned(server, get);
  assert.equal(status, 200);
}

describe("slow clients", () => {
  it("headers that never end are cut off while others are served", async () => {
    await using slow = await startHarness({ limits: { headersTimeoutMs: 500 } });
    const socket = await open(slow);
    socket.write("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    const drip = setInterval(() => socket.write("a"), 50);
    await assertServes(slow);
    const answer = await text(socket).finally(() => clearInterval(drip));
    assert.match(answer, /^HTTP\/1\.1 408 /);
  });

  it("a body that never comes is answered 408 while others are served", async () => {
    await using slow = await startHarness({ limits: { bodyTimeoutMs: 300 } });
    const socket = await open(slow);
    socket.write(signedHead('{"imageIdentifier":"x"}', slow));
    await assertServes(slow);
    const answer = await text(socket);
    assert.match(answer, /^HTTP\/1\.1 408 /);
    assert.match(answer, /x-amzn-errortype: RequestTimeoutException/i);
    assert.match(answer, /connection: close/i);
  });

  it("a connection is closed when nothing follows the last answer", async () => {
    await using idle = await startHarness({ limits: { idleTimeoutMs: 300 } });
    const socket = await open(idle);
    socket.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(await text(socket), /^HTTP\/1\.1 200 [^]*\{"status":"ok"\}$/);
  });

  it("a request that takes us longer than the idle time is answered", async () => {
    await using patient = await startHarness({
      limits: { idleTimeoutMs: 300 },
      microvms: {
        async get(_scope, microvmId) {
          await new Promise((resolve) => setTimeout(resolve, 700));
          return microvmRecord({ microvmId });
        },
      },
    });
    await assertServes(patient);
  });
});

describe("large requests", () => {
  for (const [what, size] of [
    ["just over the limit", 1024 * 1024 + 1],
    ["ten times the limit", 10 * 1024 * 1024],
  ] as const)
    it(`a body ${what} is answered 413`, async () => {
      const response = await sendSigned(harness, { ...post, body: Buffer.alloc(size, 0x20) });
      assert.equal(response.status, 413);
      assert.equal(response.headers["x-amzn-errortype"], "RequestEntityTooLargeException");
      await assertServes();
    });

  it("a body at the limit is read", async () => {
    const start = `{"imageIdentifier":"${IMAGE_ARN}"`;
    const body = `${start}${" ".repeat(1024 * 1024 - start.length - 1)}}`;
    assert.equal((await sendSigned(harness, { ...post, body })).status, 200);
  });

  it("a large unsigned body is answered 403", async () => {
    const response = await send(harness.port, { ...post, body: Buffer.alloc(4 * 1024 * 1024) });
    assert.equal(response.status, 403);
  });

  it("too many headers are answered 431", async () => {
    const headers = Object.fromEntries(
      Array.from({ length: 500 }, (_, index) => [`x-flood-${index}`, "y".repeat(100)]),
    );
    assert.equal((await send(harness.port, { ...get, headers })).status, 431);
    await assertServes();
  });

  it("what is no HTTP is answered 400", async () => {
    const socket = await open();
    socket.end("\x16\x03\x01\x02\x00 hello\r\n\r\n");
    assert.match(await text(socket), /^HTTP\/1\.1 400 /);
  });
});

describe("many clients", () => {
  it("200 parallel requests are all answered", async () => {
    const responses = await Promise.all(
      Array.from({ length: 200 }, () => sendSigned(harness, get)),
    );
    assert.deepEqual(new Set(responses.map(({ status }) => status)), new Set([200]));
    const ids = new Set(responses.map(({ headers }) => headers["x-amzn-requestid"]));
    assert.equal(ids.size, 200);
  });

  it("200 parallel calls through one SDK client are all answered", async () => {
    const command = () => new GetMicrovmCommand({ microvmIdentifier: MICROVM_ID });
    const outputs = await Promise.all(
      Array.from({ length: 200 }, () => harness.lambda.send(command())),
    );
    assert.ok(outputs.every(({ microvmId }) => microvmId === MICROVM_ID));
  });

  it("a client that leaves in the middle disturbs nobody", async () => {
    const socket = await open();
    socket.write(signedHead('{"imageIdentifier":"x"}'));
    socket.write('{"image');
    socket.resetAndDestroy();
    await assertServes();
  });
});

describe("closing", () => {
  it("lets a running request finish and refuses new connections", async () => {
    const started = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const other = await startHarness({
      microvms: {
        async get(_scope, microvmId) {
          started.resolve();
          await finish.promise;
          return microvmRecord({ microvmId });
        },
      },
    });
    const response = sendSigned(other, get);
    await started.promise;
    const closed = other[Symbol.asyncDispose]();
    await assert.rejects(send(other.port, { method: "GET", path: "/health" }), {
      code: "ECONNREFUSED",
    });
    finish.resolve();
    assert.equal((await response).status, 200);
    await closed;
    await other.server[Symbol.asyncDispose]();
  });

  it("cuts a request that does not finish in time", async () => {
    const started = Promise.withResolvers<void>();
    const other = await startHarness({
      limits: { closeTimeoutMs: 200 },
      microvms: {
        get() {
          started.resolve();
          return new Promise(() => undefined);
        },
      },
    });
    const response = assert.rejects(sendSigned(other, get), { code: "ECONNRESET" });
    await started.promise;
    await other[Symbol.asyncDispose]();
    await response;
  });

  it("an address that is taken is refused with its name", async () => {
    const { createApiServer } = await import("../../../src/api/server.ts");
    const listen = { host: "127.0.0.1", port: harness.port };
    await assert.rejects(createApiServer({} as never, { listen }), {
      code: "SETUP_FAILED",
      message: new RegExp(`Cannot listen on "127\\.0\\.0\\.1:${harness.port}"`),
    });
  });
});
