// Shells in a real microVM: the bytes of handshake and frames, a terminal worth its name, and sessions that outlive a
// suspend.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { after, before, describe, test } from "node:test";
import {
  CreateMicrovmShellAuthTokenCommand,
  ResumeMicrovmCommand,
  SuspendMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import { waitForState } from "../../scripts/walkthrough/client.ts";
import { clientFrame, ShellClient, upgrade } from "../support/shell-client.ts";
import { LONG_IDLE, runMicrovm, type TestMicrovm } from "./support/microvm.ts";
import { buildCounter, startTestService, type TestService } from "./support/test-service.ts";

const connector = (name: string) =>
  `arn:aws:lambda:us-east-1:aws:network-connector:aws-network-connector:${name}`;
const WITH_SHELL = ["HTTP_INGRESS", "SHELL_INGRESS"].map(connector);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe("shells", { timeout: 600_000 }, () => {
  let service: TestService;
  let imageArn: string;
  let microvm: TestMicrovm;

  before(async () => {
    service = await startTestService();
    imageArn = await buildCounter(service.clients);
    microvm = await runMicrovm(service, imageArn, { ingressNetworkConnectors: WITH_SHELL });
  });

  after(async () => {
    await service[Symbol.asyncDispose]();
  });

  async function mintShellToken({ id }: TestMicrovm): Promise<string> {
    const { authToken } = await service.clients.microvms.send(
      new CreateMicrovmShellAuthTokenCommand({ microvmIdentifier: id, expirationInMinutes: 60 }),
    );
    return authToken?.["X-aws-proxy-auth"] ?? "";
  }

  async function dial({ endpoint }: TestMicrovm) {
    const { ingress, environment } = service.service;
    const ca = readFileSync(environment["TORPOR_CA"] ?? "");
    const [servername = ""] = endpoint.split(":");
    const socket = connect({ ...ingress, servername, ca, ALPNProtocols: ["http/1.1"] });
    await once(socket, "secureConnect");
    return socket;
  }

  async function openShell(target = microvm, path = "/"): Promise<ShellClient> {
    const token = await mintShellToken(target);
    const offer = `lambda-microvms, lambda-microvms.authentication.${token}`;
    const socket = await dial(target);
    const fields = { "Sec-WebSocket-Protocol": offer };
    const { header, rest } = await upgrade(socket, target.endpoint, fields, path);
    assert.match(header, /^HTTP\/1\.1 101 /);
    const shell = new ShellClient(socket, rest);
    await shell.untilOutput(/λ \$ $/);
    return shell;
  }

  test("handshake and first frames are those of the service, to the byte", async () => {
    const token = await mintShellToken(microvm);
    const socket = await dial(microvm);
    const protocol = `lambda-microvms, lambda-microvms.authentication.${token}, lambda-microvms.port.8022`;
    const fields = { "Sec-WebSocket-Protocol": protocol };
    const { header, rest } = await upgrade(socket, microvm.endpoint, fields, "/shell");
    assert.equal(
      header.replace(/^(x-amzn-requestid): .*\r\n/m, "$1: ID\r\n"),
      "HTTP/1.1 101 Switching Protocols\r\n" +
        "x-amzn-requestid: ID\r\n" +
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
        "Sec-WebSocket-Protocol: lambda-microvms\r\n" +
        "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    const shell = new ShellClient(socket, rest);
    await shell.untilOutput(/λ \$ $/);
    const [first, second] = shell.frames;
    const {
      type,
      session_id: id,
      ...more
    } = JSON.parse(String(first?.payload)) as Record<string, string>;
    assert.deepEqual([first?.opcode, type, more], [1, "session_init", {}]);
    assert.match(id ?? "", UUID);
    assert.equal(second?.opcode, 2);
    shell.send(clientFrame("text", "echo $((6*7))\r"));
    await shell.untilOutput(/\n42\r\n/);
    shell.type("exit 3\r");
    assert.deepEqual(await shell.untilClosed(), { code: 1000, reason: "shell exited" });
  });

  test("the header does for the token, and an endpoint token opens no shell", async () => {
    const socket = await dial(microvm);
    const token = await mintShellToken(microvm);
    const { header, rest } = await upgrade(socket, microvm.endpoint, { "X-aws-proxy-auth": token });
    assert.doesNotMatch(header, /Sec-WebSocket-Protocol/i);
    const shell = new ShellClient(socket, rest);
    await shell.untilOutput(/λ \$ $/);
    shell.destroy();
    // To the application, which knows no WebSocket.
    const other = await dial(microvm);
    const answer = await upgrade(other, microvm.endpoint, { "X-aws-proxy-auth": microvm.token });
    assert.doesNotMatch(answer.header, /^HTTP\/1\.1 101/);
    other.destroy();
    const plain = await microvm.call("/", { headers: { "x-aws-proxy-auth": token } });
    assert.deepEqual([plain.status, plain.body], [502, ""]);
  });

  test("it is root's terminal in the application's container, without the image's environment", async () => {
    const shell = await openShell();
    assert.match(await shell.run("tty"), /^\/dev\/pts\/\d+\n$/);
    assert.equal(await shell.run("stty size"), "0 0\n");
    shell.resize(132, 43);
    shell.send(clientFrame("ping", "x"));
    assert.equal(String((await shell.untilFrame(10)).payload), "x");
    assert.equal(await shell.run("stty size"), "43 132\n");
    assert.equal(await shell.run("id -u; echo $TERM:$GREETING:$0"), "0\nxterm::bash\n");
    assert.equal(await shell.run("ls /app"), "server.pl\n");
    assert.match(await shell.run("tr '\\0' ' ' < /proc/1/cmdline"), /^perl server\.pl /);
    const from = shell.output.length;
    shell.type("sleep 1000\r");
    await shell.untilOutput(/sleep 1000\r\n/, from);
    shell.type("\x03");
    await shell.untilOutput(/\^C\r\nλ \$ $/, from);
    assert.equal(await shell.run("echo $?"), "130\n");
    shell.destroy();
  });

  test("sessions are many, each its own, and end with their clients", async () => {
    const shells = await Promise.all(Array.from({ length: 8 }, () => openShell()));
    const ttys = await Promise.all(shells.map((shell) => shell.run("tty")));
    assert.equal(new Set(ttys).size, shells.length);
    const [watcher, ...others] = shells;
    assert.ok(watcher);
    for (const shell of others) shell.destroy();
    const alive = "ls /dev/pts | grep -c '[0-9]'";
    while ((await watcher.run(alive)) !== "1\n") await watcher.run("sleep 0.1");
    watcher.type("exit\r");
    await watcher.untilClosed();
  });

  test("a session survives suspend and resume with its variables and jobs", async () => {
    const shell = await openShell();
    await shell.run("kept=hello; sleep 100000 &");
    const job = await shell.run("echo $!");
    const { microvms } = service.clients;
    const microvmIdentifier = microvm.id;
    for (const round of [1, 2]) {
      await microvms.send(new SuspendMicrovmCommand({ microvmIdentifier }));
      await waitForState(service.clients, microvm.id, ["SUSPENDED"]);
      await microvms.send(new ResumeMicrovmCommand({ microvmIdentifier }));
      await waitForState(service.clients, microvm.id, ["RUNNING"]);
      assert.equal(await shell.run(`echo $kept ${round}`), `hello ${round}\n`);
      assert.equal(await shell.run("jobs -p"), job);
    }
    shell.destroy();
  });

  test("typing wakes a suspended microVM whose policy allows it; elsewhere it waits for the resume", async () => {
    const { microvms } = service.clients;
    const stubborn = await runMicrovm(service, imageArn, {
      ingressNetworkConnectors: WITH_SHELL,
      idlePolicy: { ...LONG_IDLE, autoResumeEnabled: false },
    });
    for (const target of [microvm, stubborn]) {
      const shell = await openShell(target);
      await microvms.send(new SuspendMicrovmCommand({ microvmIdentifier: target.id }));
      await waitForState(service.clients, target.id, ["SUSPENDED"]);
      const answer = shell.run("echo typed in the dark");
      if (target === stubborn)
        await microvms.send(new ResumeMicrovmCommand({ microvmIdentifier: target.id }));
      assert.equal(await answer, "typed in the dark\n");
      shell.destroy();
    }
  });
});
