// Limits of an endpoint: connections, requests and bytes, and that whoever is over them harms nobody else.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
} from "node:http2";
import { Agent } from "node:https";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import type { ExchangeFact } from "../../../src/ingress/serve.ts";
import { type EndpointLimits, NO_LIMITS } from "../../../src/ingress/limits.ts";
import {
  ENDPOINT_HOST,
  ENDPOINT_ID,
  fetchOnce,
  type Harness,
  type HarnessOptions,
  MICROVM_ID,
  microvmRecord,
  openSession,
  readUntil,
  startHarness,
  until,
} from "./harness.ts";

const OTHER_ID = MICROVM_ID.replace("0f4a", "1f4a");
const OTHER_ENDPOINT = ENDPOINT_ID.replace("7b0e", "8b0e");

async function startLimited(
  limits: Partial<EndpointLimits>,
  options: HarnessOptions = {},
): Promise<Harness> {
  const harness = await startHarness({
    ...options,
    limitsOf: async () => ({ ...NO_LIMITS, ...limits }),
  });
  const other = microvmRecord({ microvmId: OTHER_ID, endpointId: OTHER_ENDPOINT });
  harness.traffic.records.set(OTHER_ID, other);
  return harness;
}

async function askOther(harness: Harness): Promise<number> {
  const host = ENDPOINT_HOST.replace(ENDPOINT_ID, OTHER_ENDPOINT);
  const token = await harness.token({ microvmId: OTHER_ID });
  const headers = {
    ...{ host, "x-aws-proxy-auth": token, "x-aws-proxy-port": String(harness.appPort) },
  };
  return (await fetchOnce(harness, { headers })).status;
}

/** Keeps its one connection. */
function keptAgent(): Agent & Disposable {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return Object.assign(agent, { [Symbol.dispose]: () => agent.destroy() });
}

async function get(harness: Harness, agent: Agent | false = false) {
  return fetchOnce(harness, { agent, headers: await harness.credentials() });
}

test("a connection too many is answered 429 and closed, until another closes", async () => {
  await using harness = await startLimited({ connections: 2 });
  using first = keptAgent();
  using second = keptAgent();
  for (const agent of [first, second, first, second])
    assert.equal((await get(harness, agent)).status, 200);

  using third = keptAgent();
  const refused = await get(harness, third);
  assert.equal(refused.status, 429);
  assert.equal(refused.body, "Too many connections to this MicroVM");
  assert.equal(refused.headers["retry-after"], "1");
  assert.equal(refused.headers["cache-control"], "private, no-store");
  assert.ok(refused.headers["x-amzn-requestid"]);
  assert.equal(refused.headers["x-aws-proxy-error"], undefined);
  await until(() => harness.ingress.countConnections() === 2, "the third connection is closed");
  assert.equal(await askOther(harness), 200);

  first.destroy();
  await until(() => harness.ingress.countConnections() < 2, "the first connection is closed");
  assert.equal((await get(harness, third)).status, 200);
});

for (const [form, fields, body] of [
  ["plain requests", "", ""],
  ["requests with chunked bodies", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"],
] as const)
  test(
    `of pipelined ${form} on a connection too many only the first is carried`,
    { timeout: 30_000 },
    async () => {
      const statuses: (number | undefined)[] = [];
      await using harness = await startLimited(
        { connections: 1 },
        { observe: ({ status }) => statuses.push(status) },
      );
      using held = keptAgent();
      assert.equal((await get(harness, held)).status, 200);
      const client = await harness.connect();
      client.write(`${await headOf(harness, "POST", fields)}${body}`.repeat(3));
      const answers = (await buffer(client)).toString();
      assert.equal(answers.match(/HTTP\/1\.1 429 /g)?.length, 1);
      await until(() => harness.ingress.countConnections() === 1, "the connection is closed");
      assert.deepEqual(statuses, [200, 429]);
    },
  );

// Node's client answers no PING once it was told that the session ends. Without a bound its idle connection lasts 75 s.
test(
  "a refused HTTP/2 client that does not answer is closed all the same",
  { timeout: 30_000 },
  async () => {
    await using harness = await startLimited({ connections: 1 });
    using held = keptAgent();
    assert.equal((await get(harness, held)).status, 200);
    await using session = await openSession(harness);
    const over = once(session, "close");
    assert.equal(await statusOf(session.request(await http2Fields(harness))), 429);
    await over;
  },
);

for (const [form, field, begin, end] of [
  ["a body of known length", "Content-Length: 300000", "x", "x".repeat(299_999)],
  [
    "a chunked body",
    "Transfer-Encoding: chunked",
    "493df\r\nx",
    `${"x".repeat(299_998)}\r\n0\r\n\r\n`,
  ],
] as const)
  test(`a client that still sends ${form} when its connection is one too many reads why`, async () => {
    await using harness = await startLimited({ connections: 1 });
    using held = keptAgent();
    assert.equal((await get(harness, held)).status, 200);
    for (let count = 0; count < 10; count += 1) {
      const client = await harness.connect();
      client.write(await headOf(harness, "POST", `${field}\r\n`));
      // The answer is there before the last of the body is.
      client.write(begin);
      await once(client, "readable");
      client.end(end);
      assert.match((await buffer(client)).toString(), /^HTTP\/1\.1 429 .*Too many connections/s);
    }
  });

test("streams of one HTTP/2 connection count as one connection", async () => {
  await using harness = await startLimited({ connections: 1 });
  const fields = await http2Fields(harness);
  const status = (session: ClientHttp2Session) => statusOf(session.request(fields));
  await using session = await openSession(harness);
  const statuses = await Promise.all(Array.from({ length: 20 }, () => status(session)));
  assert.deepEqual(new Set(statuses), new Set([200]));
  await using second = await openSession(harness);
  const gone = once(second, "goaway");
  assert.equal(await status(second), 429);
  await gone;
  assert.equal(await status(session), 200);
});

async function http2Fields(harness: Harness): Promise<OutgoingHttpHeaders> {
  return { ":path": "/", ":authority": ENDPOINT_HOST, ...(await harness.credentials()) };
}

async function statusOf(stream: ClientHttp2Stream): Promise<unknown> {
  const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
  stream.resume();
  return headers[":status"];
}

test("a request too many is answered 429, wakes nothing and leaves the connection", async () => {
  await using harness = await startLimited({ requestsPerSecond: 0.001 });
  using agent = keptAgent();
  assert.equal((await get(harness, agent)).status, 200);
  const refused = [await get(harness, agent), await get(harness, agent), await get(harness)];
  for (const { status, body, headers } of refused) {
    assert.deepEqual(
      [status, body, headers["retry-after"]],
      [429, "Too many requests to this MicroVM", "1"],
    );
  }
  assert.equal(harness.traffic.leases.length, 1);
  await until(() => harness.ingress.countConnections() === 1, "only the first connection is left");
  assert.equal(await askOther(harness), 200);
});

test("a bad token learns nothing of limits and takes nothing of them", async () => {
  await using harness = await startLimited({ requestsPerSecond: 0.001 });
  const bad = { "x-aws-proxy-auth": await harness.token({ microvmId: OTHER_ID }) };
  for (let number = 0; number < 3; number++)
    assert.equal((await fetchOnce(harness, { headers: bad })).status, 403);
  assert.equal((await get(harness)).status, 200);
  assert.equal((await fetchOnce(harness, { headers: bad })).status, 403);
});

test("a body that says it is too large gets 413 and wakes nothing", async () => {
  await using harness = await startHarness({ maxBodyBytes: 1000 });
  const post = async (bytes: number) =>
    fetchOnce(harness, {
      ...{ method: "POST", headers: await harness.credentials(), body: "x".repeat(bytes) },
    });
  const refused = await post(1001);
  assert.deepEqual([refused.status, refused.body], [413, "Request body too large"]);
  assert.equal(harness.traffic.leases.length, 0);
  assert.equal((await post(1000)).status, 200);
});

test("a body that proves too large is cut for the application and gets 413", async () => {
  let [begun, ended] = [0, 0];
  await using harness = await startHarness({
    maxBodyBytes: 1000,
    app: (request, response) => {
      begun += 1;
      request.resume().once("end", () => (ended += 1));
      request.once("end", () => response.end("whole"));
    },
  });
  const credentials = await harness.credentials();
  const chunked = async (bytes: number) => {
    const headers = { ...credentials, "transfer-encoding": "chunked" };
    return fetchOnce(harness, { method: "POST", headers, body: "x".repeat(bytes) });
  };
  await using session = await openSession(harness);
  const fields = await http2Fields(harness);
  const overHttp2 = async (bytes: number, bytesBefore = 0) => {
    const stream = session.request({ ":method": "POST", ...fields });
    stream.on("error", () => undefined);
    const begunBefore = begun;
    if (bytesBefore > 0) stream.write("x".repeat(bytesBefore));
    if (bytesBefore > 0) await until(() => begun > begunBefore, "the application is asked");
    stream.end("x".repeat(bytes));
    return statusOf(stream);
  };
  assert.equal((await chunked(1001)).status, 413);
  assert.equal((await chunked(1000)).body, "whole");
  assert.equal(await overHttp2(1001), 413);
  assert.equal(await overHttp2(1000), 200);
  assert.equal(await overHttp2(501, 500), 413);
  assert.equal(await overHttp2(500, 500), 200);
  assert.equal(ended, 3);
});

test("bodies go whole, both ways together no faster than the rate", async () => {
  const body = randomBytes(3_000_000).toString("hex");
  await using harness = await startLimited(
    { bytesPerSecond: 8_000_000 },
    { app: (request, response) => void request.pipe(response) },
  );
  const startedAt = performance.now();
  const echoed = await fetchOnce(harness, {
    ...{ method: "POST", headers: await harness.credentials(), body },
  });
  const sha = (text: string) => createHash("sha256").update(text).digest("hex");
  assert.equal(sha(echoed.body), sha(body));
  // Twelve million bytes, the first eight of them at once: a slow machine takes longer, none less.
  assert.ok(performance.now() - startedAt >= 499);
});

test("an application that sends too fast is held back", async () => {
  let sent = 0;
  await using harness = await startLimited(
    { bytesPerSecond: 100_000 },
    {
      app: (_request, response) => {
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(64 * 1024))) sent += 64 * 1024;
        };
        response.on("drain", more);
        more();
      },
    },
  );
  const client = await send(harness, "GET");
  await readUntil(client, "\r\n\r\n");
  let seen = -1;
  // Until nothing moves any more: what there is between the two ends is full.
  while (seen !== sent) {
    seen = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken`);
  assert.equal(await askOtherHead(harness), 200);
  client.destroy();
});

/** The status of an answer whose body does not end. */
async function askOtherHead(harness: Harness): Promise<number> {
  const client = await harness.connect();
  const host = ENDPOINT_HOST.replace(ENDPOINT_ID, OTHER_ENDPOINT);
  const token = await harness.token({ microvmId: OTHER_ID });
  client.write(
    `GET / HTTP/1.1\r\nHost: ${host}\r\nX-aws-proxy-auth: ${token}\r\nX-aws-proxy-port: ${harness.appPort}\r\n\r\n`,
  );
  const head = await readUntil(client, "\r\n");
  client.destroy();
  return Number(head.split(" ")[1]);
}

test("what either side of a tunnel sent before its end arrives whole at a rate", async () => {
  await using harness = await startLimited({ bytesPerSecond: 1_000_000 });
  const [fromClient, fromApp] = [randomBytes(700_000), randomBytes(700_000)];
  const received = new Promise<Buffer>((resolve) => {
    harness.app.on("upgrade", (_request, socket: Duplex) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
      const chunks: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        if (Buffer.concat(chunks).length < fromClient.length) return;
        socket.end(fromApp);
        resolve(Buffer.concat(chunks));
      });
    });
  });
  const client = await send(harness, "GET", "Connection: Upgrade\r\nUpgrade: x\r\n");
  await readUntil(client, "\r\n\r\n");
  client.write(fromClient);
  assert.ok((await buffer(client)).equals(fromApp));
  assert.ok((await received).equals(fromClient));
});

test("what comes with the hand-shake of a tunnel counts as the rest of it does", async () => {
  const facts: ExchangeFact[] = [];
  await using harness = await startLimited({}, { observe: (fact) => facts.push(fact) });
  harness.app.on("upgrade", (_request, socket: Duplex, head: Buffer) => {
    socket.write("HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfrom app");
    const whole = head.toString() === "from client" ? Promise.resolve() : once(socket, "data");
    void whole.then(() => socket.end());
  });
  const client = await harness.connect();
  const head = await headOf(harness, "GET", "Connection: Upgrade\r\nUpgrade: x\r\n");
  client.write(`${head}from client`);
  assert.match((await buffer(client)).toString(), /\r\n\r\nfrom app$/);
  await until(() => facts.length === 1, "the tunnel is over");
  const [{ bytesReceived, bytesSent } = assert.fail()] = facts;
  assert.deepEqual([bytesReceived, bytesSent], ["from client".length, "from app".length]);
});

test("a client that leaves a slow transfer is let go of at both ends", async () => {
  const [asked, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await using harness = await startLimited(
    { bytesPerSecond: 100_000 },
    {
      app: (request, response) => {
        response.once("close", () => closed.resolve());
        request.resume();
        response.write(Buffer.alloc(100_000));
        asked.resolve();
      },
    },
  );
  const client = await send(harness, "POST", "Content-Length: 100000\r\n");
  client.write(Buffer.alloc(50_000));
  await asked.promise;
  client.destroy();
  await closed.promise;
  await until(() => harness.traffic.leases[0]?.disposals === 1, "the lease is given back");
});

/** Sends the header of a request on a connection of its own. */
async function send(harness: Harness, method: string, fields = ""): Promise<TLSSocket> {
  const client = await harness.connect();
  client.write(await headOf(harness, method, fields));
  return client;
}

/** `fields` are whole lines. */
async function headOf(harness: Harness, method: string, fields = ""): Promise<string> {
  const credentials = Object.entries(await harness.credentials());
  const lines = credentials.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${method} / HTTP/1.1\r\nHost: ${ENDPOINT_HOST}\r\n${fields}${lines}\r\n`;
}
