// The client against an agent that answers with the golden bodies, or as no agent should.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { isServiceError, type ErrorCode } from "../../../src/errors.ts";
import { createGuestClient, type GuestClient } from "../../../src/guest/client.ts";
import type { AgentEvent, RestoredRequest, StartRequest } from "../../../src/guest/protocol.ts";

const SECRET = "00112233445566778899aabbccddeeff";
const golden = (name: string) =>
  readFileSync(path.join(import.meta.dirname, `${name}.json`), "utf8");
const goldenJson = <T>(name: string) => JSON.parse(golden(name)) as T;

interface Received {
  readonly line: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

type Respond = (request: IncomingMessage, response: ServerResponse, received: Received) => void;

/** An agent on loopback that answers as told, and a client of it; both end with the test. */
async function pair(context: TestContext, respond: Respond) {
  const received: Received[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const one = {
        line: `${request.method} ${request.url}`,
        authorization: request.headers.authorization,
        body: Buffer.concat(chunks).toString(),
      };
      received.push(one);
      respond(request, response, one);
    });
  });
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const guest = createGuestClient({ address: "127.0.0.1", secret: SECRET, port });
  context.after(async () => {
    await guest[Symbol.asyncDispose]();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { guest, received, sockets, server, port };
}

const answer =
  (body: string | Buffer, status = 200, headers = {}): Respond =>
  (_request, response) =>
    response.writeHead(status, headers).end(body);

const signal = () => AbortSignal.timeout(20_000);
const failsWith = (code: ErrorCode, pattern: RegExp) => (error: unknown) =>
  isServiceError(error, code) && pattern.test(error.message);

const calls: Record<string, (guest: GuestClient) => Promise<unknown>> = {
  "POST /v1/hook": (guest) => guest.hook(goldenJson("hook-request"), signal()),
  "POST /v1/exec": (guest) => guest.exec(goldenJson("exec-request"), signal()),
  "GET /v1/listening?port=80": (guest) => guest.listening(80, signal()),
};

test("client sends the golden bodies with the secret to the routes of the protocol", async (context) => {
  const { guest, received } = await pair(context, (_request, response, { line }) => {
    const route = line.split(" ")[1];
    const name =
      route === "/v1/hook"
        ? "hook-response-answered"
        : route === "/v1/exec"
          ? "exec-response"
          : undefined;
    response.end(name === undefined ? "{}" : golden(name));
  });
  const hook = await guest.hook(goldenJson("hook-request"), signal());
  const exec = await guest.exec(goldenJson("exec-request"), signal());
  await guest.quiesce(signal());
  await guest.poweroff(signal());
  assert.deepEqual(hook, { outcome: "answered", status: 503 });
  assert.equal(Buffer.from(exec.stdout).toString(), "hi\n");
  assert.equal(exec.timedOut, true);
  assert.deepEqual(
    received.map(({ line }) => line),
    ["POST /v1/hook", "POST /v1/exec", "POST /v1/quiesce", "POST /v1/poweroff"],
  );
  assert.deepEqual(JSON.parse(received[0]?.body ?? ""), goldenJson("hook-request"));
  assert.deepEqual(JSON.parse(received[1]?.body ?? ""), goldenJson("exec-request"));
  assert.ok(received.every(({ authorization }) => authorization === `Bearer ${SECRET}`));
});

test("client keeps one connection for calls that follow each other", async (context) => {
  const { guest, sockets } = await pair(context, answer(golden("listening-response")));
  for (let count = 0; count < 5; count += 1) await guest.listening(80, signal());
  assert.equal(sockets.size, 1);
});

test("start and restored carry the clock of the moment they are sent", async (context) => {
  const { guest, received } = await pair(context, answer("{}"));
  const start = goldenJson<StartRequest>("start-request");
  await guest.start(start, signal());
  const restored = goldenJson<RestoredRequest>("restored-request");
  await guest.restored(restored, signal());
  const sent = received.map(({ body }) => JSON.parse(body) as RestoredRequest);
  for (const { clock } of sent) {
    const late = clock.epochMs - start.clock.epochMs;
    assert.ok(Number.isInteger(late) && late >= 0 && late < 10_000, String(late));
  }
  const clock = start.clock;
  assert.deepEqual({ ...sent[0], clock }, start);
  assert.deepEqual({ ...sent[1], clock }, restored);
});

test("start waits for an agent that does not listen yet", async (context) => {
  const { guest, received, server, port } = await pair(context, answer("{}"));
  await new Promise((resolve) => server.close(resolve));
  const started = guest.start(goldenJson("start-request"), signal());
  server.listen(port, "127.0.0.1");
  await started;
  assert.equal(received.length, 1);
});

test("restored is sent again when its connection breaks, on a new one", async (context) => {
  const { guest, received, sockets } = await pair(context, (request, response) => {
    if (received.length === 1) request.socket.resetAndDestroy();
    else response.end("{}");
  });
  await guest.restored(goldenJson("restored-request"), signal());
  assert.equal(received.length, 2);
  assert.equal(sockets.size, 2);
});

test("restored leaves no idle connection that the guest is about to cut", async (context) => {
  const { guest, sockets } = await pair(context, (request, response, { line }) => {
    if (line === "POST /v1/restored") {
      for (const socket of sockets) if (socket !== request.socket) socket.resetAndDestroy();
    }
    response.end(line === "POST /v1/restored" ? "{}" : golden("listening-response"));
  });
  for (let count = 0; count < 3; count += 1) {
    assert.equal(await guest.listening(80, signal()), true);
    await guest.restored(goldenJson("restored-request"), signal());
  }
});

test("other calls are not sent twice", async (context) => {
  const { guest, received } = await pair(context, (request) => request.socket.resetAndDestroy());
  await assert.rejects(
    guest.exec(goldenJson("exec-request"), signal()),
    failsWith("GUEST_UNREACHABLE", /127\.0\.0\.1.*POST \/v1\/exec/),
  );
  assert.equal(received.length, 1);
});

test("a request that the agent would refuse for its size is not sent", async (context) => {
  const { guest, received } = await pair(context, answer("{}"));
  const args = ["true", "x".repeat(4 * 1024 * 1024)];
  await assert.rejects(
    guest.exec({ args, timeoutMs: 1000 }, signal()),
    failsWith("VALIDATION_FAILED", /larger/),
  );
  assert.equal(received.length, 0);
});

test("logs tell where they start and where to go on", async (context) => {
  const { guest, received } = await pair(
    context,
    answer(Buffer.from("héllo\n"), 200, { "x-torpor-log-start": "100" }),
  );
  const logs = await guest.logs(7, signal());
  assert.equal(received[0]?.line, "GET /v1/logs?offset=7");
  assert.deepEqual([logs.start, logs.next, logs.text], [100, 107, "héllo\n"]);
});

test("logs without a start make no sense", async (context) => {
  const { guest } = await pair(context, answer("x"));
  await assert.rejects(guest.logs(0, signal()), failsWith("VMM_FAILED", /makes no sense/));
});

test("events come as they happen and end with the stream", async (context) => {
  const { guest } = await pair(context, (_request, response) => {
    response.write(golden("event-running"));
    setImmediate(() => response.end(golden("event-exited")));
  });
  const events = await Array.fromAsync(guest.events(signal()));
  assert.deepEqual(events, [
    goldenJson<AgentEvent>("event-running"),
    goldenJson<AgentEvent>("event-exited"),
  ]);
});

test("events close their connection when the reader has enough", async (context) => {
  const { guest, sockets } = await pair(context, (_request, response) => {
    response.write(golden("event-running"));
  });
  for await (const event of guest.events(signal())) {
    assert.equal(event.status, "running");
    break;
  }
  const [socket] = sockets;
  if (socket?.destroyed === false) await new Promise((resolve) => socket.once("close", resolve));
});

test("events end with the signal's reason when it aborts", async (context) => {
  const { guest } = await pair(context, (_request, response) => {
    response.write(golden("event-running"));
  });
  const stop = new AbortController();
  const reason = new Error("stop");
  const read = async () => {
    for await (const event of guest.events(stop.signal)) {
      assert.equal(event.status, "running");
      stop.abort(reason);
    }
  };
  await assert.rejects(read(), (error) => error === reason);
});

test("events that break off are a lost guest", async (context) => {
  const { guest } = await pair(context, (request, response) => {
    response.write(golden("event-running"), () => request.socket.resetAndDestroy());
  });
  await assert.rejects(
    Array.fromAsync(guest.events(signal())),
    failsWith("GUEST_UNREACHABLE", /127\.0\.0\.1/),
  );
});

for (const [line, call] of Object.entries(calls)) {
  test(`${line}: the agent's refusals carry its message`, async (context) => {
    let status = 400;
    const { guest } = await pair(context, (_request, response) => {
      response.writeHead(status).end(golden("error-response"));
    });
    await assert.rejects(call(guest), failsWith("VALIDATION_FAILED", /^Missing or wrong secret$/));
    status = 409;
    await assert.rejects(call(guest), failsWith("CONFLICT", /^Missing or wrong secret$/));
    for (status of [401, 404, 500]) {
      await assert.rejects(call(guest), failsWith("VMM_FAILED", /^Missing or wrong secret$/));
    }
  });

  test(`${line}: answers that make no sense are refused`, async (context) => {
    let body = "";
    const { guest } = await pair(context, (_request, response) => response.end(body));
    for (body of ["", "{}", "[1", '{"listening":1}']) {
      await assert.rejects(call(guest), failsWith("VMM_FAILED", /makes no sense/));
    }
  });

  test(`${line}: an endless answer is cut`, async (context) => {
    const { guest } = await pair(context, answer(Buffer.alloc(5 * 1024 * 1024, " ")));
    await assert.rejects(call(guest), failsWith("VMM_FAILED", /larger/));
  });
}

test("a call that gets no answer in its time says so", async (context) => {
  const { guest } = await pair(context, () => undefined);
  const hook = { port: 1, path: "/", body: "", timeoutMs: -6900 };
  await assert.rejects(
    guest.hook(hook, signal()),
    failsWith("GUEST_UNREACHABLE", /did not answer POST \/v1\/hook within 100 ms/),
  );
});

test("a call rejects with the reason of its own signal", async (context) => {
  const stop = new AbortController();
  const reason = new Error("stop");
  const { guest } = await pair(context, () => stop.abort(reason));
  await assert.rejects(guest.quiesce(stop.signal), (error) => error === reason);
  await assert.rejects(guest.quiesce(stop.signal), (error) => error === reason);
});

test("disposing a client fails what is under way and what comes after", async (context) => {
  const { guest } = await pair(context, () => void guest[Symbol.asyncDispose]());
  const closed = failsWith("GUEST_UNREACHABLE", /was closed/);
  await assert.rejects(guest.quiesce(signal()), closed);
  await assert.rejects(guest.restored(goldenJson("restored-request"), signal()), closed);
  await guest[Symbol.asyncDispose]();
});

test("nobody at the address is a guest that cannot be reached", async (context) => {
  const { guest, server } = await pair(context, answer("{}"));
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(guest.quiesce(signal()), failsWith("GUEST_UNREACHABLE", /127\.0\.0\.1/));
});
