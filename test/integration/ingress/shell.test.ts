// The client's side of a shell, over HTTP/1.1 and HTTP/2, with a fake agent behind the ingress.

import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach, describe, test } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import { SHELL_FRAME_LIMIT } from "../../../src/guest/shell-frames.ts";
import { INPUT_LIMIT } from "../../../src/ingress/shell-input.ts";
import { TEXT_LIMIT } from "../../../src/ingress/websocket-frames.ts";
import { clientFrame, ShellClient, upgrade } from "../../support/shell-client.ts";
import { type FakeShellAgent, startFakeShellAgent } from "./fake-shell-agent.ts";
import {
  ENDPOINT_HOST,
  type Harness,
  MICROVM_ID,
  microvmRecord,
  openSession,
  REGION,
  startHarness,
  until,
} from "./harness.ts";

const connectors = ["HTTP_INGRESS", "SHELL_INGRESS"].map(
  (name) => `arn:aws:lambda:${REGION}:aws:network-connector:aws-network-connector:${name}`,
);
const SECRET = "00112233445566778899aabbccddeeff";

describe("a shell", () => {
  let harness: Harness;
  let agent: FakeShellAgent;

  beforeEach(async () => {
    agent = await startFakeShellAgent();
    harness = await startHarness({
      shellAccess: async () => ({ address: "127.0.0.1", port: agent.port, secret: SECRET }),
    });
    harness.traffic.records.set(
      MICROVM_ID,
      microvmRecord({ ingressNetworkConnectors: connectors }),
    );
  });

  afterEach(async () => {
    await harness[Symbol.asyncDispose]();
    await agent[Symbol.asyncDispose]();
  });

  const shellToken = () =>
    harness.tokens.mint({
      ...{ microvmId: MICROVM_ID, shell: true, expiresAt: harness.clock.now + 60_000 },
    });

  async function handshake(fields: Record<string, string> = {}, path = "/") {
    const socket = await harness.connect();
    const auth = { "X-aws-proxy-auth": await shellToken(), ...fields };
    const { header, rest } = await upgrade(socket, ENDPOINT_HOST, auth, path);
    return { socket, header, shell: new ShellClient(socket, rest) };
  }

  async function open() {
    const { header, shell } = await handshake();
    assert.match(header, /^HTTP\/1\.1 101 /);
    await shell.untilFrame(1);
    return shell;
  }

  test("shows bytes as they are and types what comes, unknown text too", async () => {
    const shell = await open();
    agent.send({ kind: "data", bytes: Buffer.from([0, 255, 27, 10]) });
    assert.deepEqual((await shell.untilFrame(2)).payload, Buffer.from([0, 255, 27, 10]));
    await until(() => agent.frames.length > 0, "the output is confirmed");
    assert.deepEqual(agent.frames, [{ kind: "received", offset: 4 }]);
    const odd = ['{"type":"resize","cols":"x","rows":1}', "{", '{"type":"ping"}'];
    shell.send(clientFrame("binary", "ls\r"), ...odd.map((text) => clientFrame("text", text)));
    await until(() => agent.typed() === `ls\r${odd.join("")}`, "all is typed");
    shell.resize(120, 40);
    const resize = { kind: "resize", columns: 120, rows: 40 } as const;
    await until(() => agent.frames.at(-1)?.kind === "resize", "the size is told");
    assert.deepEqual(agent.frames.at(-1), resize);
    shell.destroy();
  });

  test("says why it ends, and the log has the exchange without its content", async () => {
    const shell = await open();
    agent.send({ kind: "data", bytes: Buffer.from("S3CRET") }, { kind: "end" });
    assert.deepEqual(await shell.untilClosed(), { code: 1000, reason: "shell exited" });
    shell.send(clientFrame("close", Buffer.from([3, 232])));
    const logged = () => harness.logLines.find((line) => line.includes('"isShell":true'));
    await until(() => logged() !== undefined, "the exchange is logged");
    const line = JSON.parse(logged() ?? "") as Record<string, unknown>;
    assert.deepEqual([line.status, line.bytesSent, line.microvmId], [101, 6, MICROVM_ID]);
    assert.ok(!harness.logLines.join().includes("S3CRET"));
    assert.ok(!harness.logLines.join().includes(SECRET));
    assert.equal(agent.frames.at(-1)?.kind, "end");
  });

  test("hangs up when the client leaves or closes", async () => {
    for (const leave of [
      (shell: ShellClient) => shell.destroy(),
      (shell: ShellClient) => shell.send(clientFrame("close", Buffer.from([3, 232]))),
    ]) {
      const before = agent.frames.length;
      leave(await open());
      await until(() => agent.frames.length > before, "the agent is told");
      assert.deepEqual(agent.frames.slice(before), [{ kind: "end" }]);
    }
  });

  test("frames may be fragmented, with control frames between, and cut anywhere", async () => {
    const shell = await open();
    const stream = Buffer.concat([
      clientFrame("binary", "ab", false),
      clientFrame("ping", "?"),
      clientFrame("continuation", "", false),
      clientFrame("continuation", "c"),
      clientFrame("text", "d", false),
      clientFrame("continuation", "e"),
      clientFrame("binary", "x".repeat(200)),
      clientFrame("binary", ""),
    ]);
    for (const byte of stream) shell.send(Buffer.from([byte]));
    await until(() => agent.typed() === `abcde${"x".repeat(200)}`, "all is typed");
    assert.equal(String((await shell.untilFrame(10)).payload), "?");
    shell.destroy();
  });

  const violations: readonly (readonly [string, number, Buffer])[] = [
    ["a frame without a mask", 1002, Buffer.from([0x82, 1, 97])],
    ["reserved bits", 1002, Buffer.from([0xc2, 0x80, 0, 0, 0, 0])],
    ["an unknown opcode", 1002, Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ["a fragmented ping", 1002, clientFrame("ping", "", false)],
    ["a long ping", 1002, clientFrame("ping", "x".repeat(126))],
    ["nothing to continue", 1002, clientFrame("continuation", "x")],
    ["text that is no UTF-8", 1007, clientFrame("text", Buffer.from([0xff]))],
    ["text beyond the limit", 1009, clientFrame("text", "x".repeat(TEXT_LIMIT + 1))],
    [
      "a length beyond numbers",
      1009,
      Buffer.concat([Buffer.from([0x82, 0xff]), Buffer.alloc(8, 0x7f), Buffer.alloc(4)]),
    ],
  ];
  for (const [what, code, bytes] of violations)
    test(`${what} closes with ${code}`, async () => {
      const shell = await open();
      shell.send(bytes);
      assert.deepEqual(await shell.untilClosed(), { code, reason: "" });
      await until(() => agent.frames.some(({ kind }) => kind === "end"), "the agent is told");
    });

  test("a binary message of any size passes in pieces", async () => {
    const shell = await open();
    const text = "0123456789".repeat(100_000);
    shell.type(text);
    await until(() => agent.typed().length === text.length, "all is typed");
    assert.equal(agent.typed(), text);
    assert.ok(
      agent.frames.every(
        (frame) => frame.kind !== "data" || frame.bytes.length <= SHELL_FRAME_LIMIT,
      ),
    );
    shell.destroy();
  });

  test("a guest that takes nothing makes the client wait", async () => {
    agent.isConfirming = false;
    const shell = await open();
    shell.type("x".repeat(4 * INPUT_LIMIT));
    await until(() => agent.typed().length === INPUT_LIMIT, "the limit is reached");
    agent.send({ kind: "received", offset: INPUT_LIMIT });
    agent.isConfirming = true;
    await until(() => agent.typed().length === 4 * INPUT_LIMIT, "all is typed");
    shell.destroy();
  });

  test("a client that reads nothing makes the guest wait", async () => {
    const { socket, shell } = await handshake();
    await shell.untilFrame(1);
    socket.pause();
    const bytes = Buffer.alloc(SHELL_FRAME_LIMIT, "x");
    let sent = 0;
    // As an agent does: no more than a window beyond what is confirmed.
    const confirmed = () => agent.frames.findLast(({ kind }) => kind === "received");
    const offset = () => {
      const frame = confirmed();
      return frame?.kind === "received" ? frame.offset : 0;
    };
    let idleTurns = 0;
    while (idleTurns < 50) {
      const before = offset();
      while (sent - offset() < 4 * SHELL_FRAME_LIMIT) {
        agent.send({ kind: "data", bytes });
        sent += bytes.length;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
      idleTurns = offset() === before ? idleTurns + 1 : 0;
      assert.ok(sent < 64 * 1024 * 1024, "the guest is never made to wait");
    }
    socket.resume();
    await until(() => offset() === sent, "all is shown in the end");
    socket.destroy();
  });

  test("outlives the VMM: nothing is lost or doubled, the size is told again", async () => {
    agent.isConfirming = false;
    const shell = await open();
    shell.resize(80, 24);
    shell.type("abcdef");
    agent.send({ kind: "data", bytes: Buffer.from("12345") });
    await until(() => agent.typed() === "abcdef", "all is typed");
    await shell.untilOutput(/12345/);
    // The guest had taken over four bytes when it was suspended.
    agent.answer.input = 4;
    agent.frames.length = 0;
    let wake: () => void = () => undefined;
    const asleep = new Promise<void>((resolve) => (wake = resolve));
    harness.traffic.beforeOpen = () => asleep;
    const { vmm } = harness.traffic;
    harness.traffic.vmm = new AbortController();
    vmm.abort();
    shell.type("gh");
    wake();
    await until(() => agent.typed() === "efgh", "the rest is typed again");
    assert.match(agent.attaches[1] ?? "", /^\/v1\/shell\?session=[0-9a-f-]{36}&output=5$/);
    assert.equal(agent.attaches[1]?.slice(0, -9), agent.attaches[0]);
    assert.deepEqual(agent.frames[0], { kind: "resize", columns: 80, rows: 24 });
    agent.send({ kind: "data", bytes: Buffer.from("6") }, { kind: "end" });
    assert.equal((await shell.untilClosed()).code, 1000);
    assert.equal(shell.output, "123456");
  });

  test("closes when the microVM is terminated", async () => {
    const shell = await open();
    harness.traffic.beforeOpen = () =>
      Promise.reject(new ServiceError("NOT_FOUND", "MicroVM not found"));
    harness.traffic.vmm.abort();
    assert.deepEqual(await shell.untilClosed(), { code: 1001, reason: "microVM terminated" });
  });

  test("closes when the guest has forgotten the session", async () => {
    const shell = await open();
    Object.assign(agent.answer, { status: 410, message: "The shell session has ended" });
    agent.socket().destroy();
    assert.deepEqual(await shell.untilClosed(), { code: 1011, reason: "shell lost" });
  });

  test("keeps no lease, but what is typed and shown counts as activity", async () => {
    const shell = await open();
    assert.deepEqual(
      harness.traffic.leases.map(({ disposals }) => disposals),
      [1],
    );
    assert.deepEqual(harness.traffic.activity, []);
    shell.type("x");
    await until(() => harness.traffic.activity.length === 1, "typing counts");
    agent.send({ kind: "data", bytes: Buffer.from("y") });
    await until(() => harness.traffic.activity.length === 2, "output counts");
    shell.destroy();
  });

  test("is refused in words for an old image and too many sessions", async () => {
    const refused = async () => {
      const { socket, header } = await handshake();
      socket.destroy();
      return header.split("\r\n")[0];
    };
    Object.assign(agent.answer, { status: 404, message: "No such route" });
    assert.equal(await refused(), "HTTP/1.1 502 Bad Gateway");
    assert.ok(harness.logLines.some((line) => line.includes("had no shells")));
    Object.assign(agent.answer, { status: 429, message: "There are 16 shell sessions already" });
    assert.equal(await refused(), "HTTP/1.1 429 Too Many Requests");
  });

  test("is refused on other paths, with other versions and without an upgrade", async () => {
    const status = async (fields: Record<string, string>, path?: string) => {
      const { socket, header } = await handshake(fields, path);
      socket.destroy();
      return header.slice(9, 12);
    };
    assert.equal(await status({}, "/other"), "502");
    assert.equal(await status({ "Sec-WebSocket-Version": "8" }), "502");
    assert.equal(await status({ Upgrade: "h2c" }), "502");
    assert.equal(await status({}, "/shell?x=1"), "101");
    assert.equal(await status({ "X-aws-proxy-auth": "x" }), "403");
  });

  test("works over HTTP/2 as over HTTP/1.1", async () => {
    await using session = await openSession(harness);
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "https",
      ":path": "/",
      ":authority": ENDPOINT_HOST,
      "sec-websocket-version": "13",
      "sec-websocket-protocol": `lambda-microvms, lambda-microvms.authentication.${await shellToken()}`,
    });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    assert.equal(headers[":status"], 200);
    assert.equal(headers["sec-websocket-protocol"], "lambda-microvms");
    const shell = new ShellClient(stream);
    shell.type("exit\r");
    await until(() => agent.typed() === "exit\r", "all is typed");
    agent.send({ kind: "data", bytes: Buffer.from("bye") }, { kind: "end" });
    assert.deepEqual(await shell.untilClosed(), { code: 1000, reason: "shell exited" });
    assert.equal(shell.output, "bye");
  });
});
