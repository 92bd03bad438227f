// The status table of the endpoint, row by row.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import {
  ENDPOINT_HOST,
  fetchOnce,
  type Harness,
  microvmRecord,
  MICROVM_ID,
  type Reply,
  startHarness,
} from "./harness.ts";

let harness: Harness;
before(async () => {
  harness = await startHarness({ connectTimeoutMs: 200 });
});
after(() => harness[Symbol.asyncDispose]());
beforeEach(() => {
  harness.traffic.beforeOpen = async () => undefined;
  harness.traffic.leases.length = 0;
});

function assertRefused(reply: Reply, status: number, body: string, proxyError?: string): void {
  assert.equal(reply.status, status);
  assert.equal(reply.body, body);
  assert.equal(reply.headers["x-aws-proxy-error"], proxyError);
  assert.equal(reply.headers["cache-control"], "private, no-store");
  assert.match(reply.headers["content-type"] ?? "", /^text\/plain/);
  assert.match(reply.headers["x-amzn-requestid"] as string, /^[0-9a-f-]{36}$/);
}

async function withToken(ports: Parameters<Harness["token"]>[0] = {}, port?: string) {
  const headers: Record<string, string> = { "x-aws-proxy-auth": await harness.token(ports) };
  if (port !== undefined) headers["x-aws-proxy-port"] = port;
  return fetchOnce(harness, { headers });
}

test("a request without a token, or with what is none, gets 403", async () => {
  const expected = ["Request missing authentication", "UNAUTHORIZED"] as const;
  assertRefused(await fetchOnce(harness), 403, ...expected);
  assertRefused(
    await fetchOnce(harness, { headers: { "x-aws-proxy-auth": "abc" } }),
    403,
    ...expected,
  );
});

test("a token in the query string is not accepted", async () => {
  const token = await harness.token();
  const reply = await fetchOnce(harness, { path: `/?x-aws-proxy-auth=${token}` });
  assertRefused(reply, 403, "Request missing authentication", "UNAUTHORIZED");
});

test("a token of another microVM gets 403", async () => {
  const reply = await withToken({ microvmId: "microvm-ffffffff-6ad2-3c4d-9e1f-0123456789ab" });
  assertRefused(reply, 403, "Token authentication failed", "UNAUTHORIZED");
});

test("an unknown host gets the same answer as a token of another microVM", async () => {
  const headers = { "x-aws-proxy-auth": await harness.token() };
  for (const host of [ENDPOINT_HOST.replace("7b", "8b"), "example.com"]) {
    const reply = await fetchOnce(harness, { headers: { ...headers, host } });
    assertRefused(reply, 403, "Token authentication failed", "UNAUTHORIZED");
  }
});

test("an expired token gets 403", async () => {
  const headers = await harness.credentials();
  assert.equal((await fetchOnce(harness, { headers })).status, 200);
  harness.clock.now += 60_001;
  assertRefused(
    await fetchOnce(harness, { headers }),
    403,
    "Token authentication failed",
    "UNAUTHORIZED",
  );
});

test("a port that the token does not grant gets 403", async () => {
  const reply = await withToken({ ports: [{ port: 8080 }] }, String(harness.appPort));
  assertRefused(reply, 403, "Access to port denied", "UNAUTHORIZED");
});

test("a shell token reaches no port: 502 with an empty body", async () => {
  const connectors = ["HTTP_INGRESS", "SHELL_INGRESS"].map(
    (name) => `arn:aws:lambda:us-east-1:aws:network-connector:aws-network-connector:${name}`,
  );
  const record = microvmRecord({ ingressNetworkConnectors: connectors });
  harness.traffic.records.set(MICROVM_ID, record);
  const token = await harness.tokens.mint({
    ...{ microvmId: MICROVM_ID, shell: true, expiresAt: harness.clock.now + 60_000 },
  });
  const headers = { "x-aws-proxy-auth": token, "x-aws-proxy-port": String(harness.appPort) };
  const reply = await fetchOnce(harness, { headers });
  harness.traffic.records.set(MICROVM_ID, microvmRecord());
  assertRefused(reply, 502, "", "APP_CONNECT_FAILED");
  assert.equal(harness.traffic.leases.length, 0);
});

test("an invalid port gets 400", async () => {
  for (const port of ["0", "65536", "http", "80 80"]) {
    assertRefused(await withToken({}, port), 400, `Invalid x-aws-proxy-port: ${port}`);
  }
});

test("a port sent twice gets 400", async () => {
  const token = await harness.token();
  const socket = await harness.connect();
  const port = `x-aws-proxy-port: ${harness.appPort}\r\n`;
  socket.write(
    `GET / HTTP/1.1\r\nHost: localhost\r\nx-aws-proxy-auth: ${token}\r\n${port}${port}\r\n`,
  );
  const [chunk] = (await once(socket, "data")) as [Buffer];
  assert.match(chunk.toString(), /^HTTP\/1\.1 400 /);
  socket.destroy();
});

test("refusals of token and port neither wake the microVM nor count as traffic", async () => {
  await fetchOnce(harness);
  await withToken({ ports: [{ port: 1 }] }, "2");
  await withToken({}, "1023");
  assert.equal(harness.traffic.leases.length, 0);
});

test("the agent's port looks closed even to a token for all ports", async () => {
  assertRefused(await withToken({}, "1023"), 502, "", "APP_CONNECT_FAILED");
});

test("a closed port gets 502 and gives the lease back", async () => {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  assertRefused(await withToken({}, String(port)), 502, "", "APP_CONNECT_FAILED");
  assert.deepEqual(
    harness.traffic.leases.map((lease) => lease.disposals),
    [1],
  );
});

test("an application that hangs up or talks no HTTP gets 502", async () => {
  for (const answer of [
    "",
    "nonsense\r\n\r\n",
    "HTTP/1.1 099 Odd\r\n\r\n",
    "HTTP/1.1 101 Switching\r\n\r\n",
  ]) {
    await using stack = new AsyncDisposableStack();
    const app = createServer(
      (socket) => void socket.on("error", () => undefined).once("data", () => socket.end(answer)),
    );
    stack.defer(() => void app.close());
    app.listen(0, "127.0.0.1");
    await once(app, "listening");
    const { port } = app.address() as AddressInfo;
    const reply = await withToken({}, String(port));
    assertRefused(reply, 502, "", "APP_CONNECT_FAILED");
  }
});

test("an application port that does not answer gets 502 after the connect time-out", async () => {
  // A stopped program with a full backlog: the kernel leaves further connection attempts unanswered.
  const program = `require("net").createServer().listen({port: 0, host: "127.0.0.1", backlog: 1},
    function () { console.log(this.address().port) })`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "ignore"] });
  const fillers: Socket[] = [];
  try {
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    child.kill("SIGSTOP");
    const port = Number(line.toString());
    for (let index = 0; index < 8; index += 1) {
      fillers.push(connect(port, "127.0.0.1").on("error", () => undefined));
    }
    await once(fillers[0] ?? assert.fail(), "connect");
    const startedAt = performance.now();
    assertRefused(await withToken({}, String(port)), 502, "", "APP_CONNECT_FAILED");
    assert.ok(performance.now() - startedAt > 150, "the connection attempt was left waiting");
  } finally {
    for (const filler of fillers) filler.destroy();
    child.kill("SIGKILL");
  }
});

test("a microVM that cannot take the request gets an empty 502", async () => {
  for (const code of ["NOT_FOUND", "CONFLICT", "VMM_FAILED", "NO_CAPACITY"] as const) {
    harness.traffic.beforeOpen = () => Promise.reject(new ServiceError(code, "Cannot open"));
    assertRefused(await withToken(), 502, "", "MICROVM_CONNECT_FAILED");
  }
});

test("a request that has waited long enough gets 503 and is told when to come back", async () => {
  const details = { retryAfterSeconds: 2 };
  for (const code of ["VMM_FAILED", "NO_CAPACITY"] as const) {
    const error = new ServiceError(code, "Waited", { details });
    harness.traffic.beforeOpen = () => Promise.reject(error);
    const reply = await withToken();
    assertRefused(reply, 503, "", "MICROVM_CONNECT_FAILED");
    assert.equal(reply.headers["retry-after"], "2");
  }
});

test("a VMM that goes away while the application is being reached gets 502", async () => {
  await using own = await startHarness({ app: () => undefined });
  const reply = fetchOnce(own, { headers: await own.credentials() });
  await once(own.app, "request");
  own.traffic.vmm.abort();
  assertRefused(await reply, 502, "", "MICROVM_CONNECT_FAILED");
  assert.deepEqual(
    own.traffic.leases.map((lease) => lease.disposals),
    [1],
  );
});

test("a failure of our own gets 500 and is logged", async () => {
  harness.traffic.beforeOpen = () => Promise.reject(new TypeError("bug"));
  assertRefused(await withToken(), 500, "Internal server error");
  assert.ok(
    harness.logLines.some((line) => line.includes('"level":"error"') && line.includes("bug")),
  );
});

test("a microVM without an HTTP connector takes no traffic", async () => {
  const arn = "arn:aws:lambda:us-east-1:aws:network-connector:aws-network-connector:NO_INGRESS";
  harness.traffic.records.set(MICROVM_ID, microvmRecord({ ingressNetworkConnectors: [arn] }));
  try {
    assertRefused(await withToken(), 403, "Token authentication failed", "UNAUTHORIZED");
    assert.equal(harness.traffic.leases.length, 0);
  } finally {
    harness.traffic.records.set(MICROVM_ID, microvmRecord());
  }
});

test("the token alone says which microVM is meant on loopback names", async () => {
  const headers = await harness.credentials();
  for (const host of ["localhost:7443", "127.0.0.1", "[::1]:7443"]) {
    assert.equal((await fetchOnce(harness, { headers: { ...headers, host } })).status, 200, host);
  }
});

test("the Host field says which microVM is meant whatever the TLS name", async () => {
  const headers = await harness.credentials();
  const reply = await fetchOnce(harness, { headers, servername: "localhost" });
  assert.equal(reply.status, 200);
});

test("no log line carries a token or a query", async () => {
  const token = await harness.token();
  const headers = { "x-aws-proxy-auth": token, "x-aws-proxy-port": String(harness.appPort) };
  await fetchOnce(harness, { path: "/p?secret=hunter2", headers });
  const log = harness.logLines.join("");
  assert.ok(log.includes('"message":"Request"'));
  assert.ok(!log.includes("hunter2"));
  assert.ok(!log.includes(token.slice(0, 100)) && !log.includes(token.slice(-60)));
});
