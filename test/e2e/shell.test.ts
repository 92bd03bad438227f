// Shells in a real microVM: the bytes of handshake and frames, a terminal worth its name, and sessions that outlive a
// suspend.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { connect } from "node:tls";
import { after, afterEach, before, describe, test } from "node:test";
import {
  CreateMicrovmShellAuthTokenCommand,
  ResumeMicrovmCommand,
  SuspendMicrovmCommand,
  TerminateMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import { poll, waitForState } from "../../scripts/walkthrough/client.ts";
import { REPOSITORY } from "../../scripts/walkthrough/service.ts";
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
  const opened: ShellClient[] = [];

  before(async () => {
    service = await startTestService();
    imageArn = await buildCounter(service.clients);
    microvm = await runMicrovm(service, imageArn, { ingressNetworkConnectors: WITH_SHELL });
  });

  after(async () => {
    await service[Symbol.asyncDispose]();
  });

  afterEach(() => {
    for (const shell of opened.splice(0)) shell.destroy();
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
    opened.push(shell);
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
    // Started for sure: an interrupt before that is the shell's own.
    shell.type("sh -c 'echo sta''rted; exec sleep 1000'\r");
    await shell.untilOutput(/started\r\n/, from);
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
    await poll(20_000, "the others to be hung up", async () =>
      (await watcher.run(alive)) === "1\n" ? true : undefined,
    );
    watcher.type("exit\r");
    await watcher.untilClosed();
  });

  test("a session survives suspend and resume with its variables and jobs", async () => {
    const shell = await openShell();
    await shell.run("kept=hello; sleep 100000 & true");
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

  test("no output is lost or doubled by suspends in its midst", async () => {
    const shell = await openShell();
    const { microvms } = service.clients;
    const microvmIdentifier = microvm.id;
    const from = shell.output.length;
    shell.type("for i in $(seq 1 400); do echo n$i; sleep 0.01; done; echo the'' end\r");
    for (const seen of [/n20\r/, /n120\r/]) {
      await shell.untilOutput(seen, from);
      await microvms.send(new SuspendMicrovmCommand({ microvmIdentifier }));
      await waitForState(service.clients, microvm.id, ["SUSPENDED"]);
      await microvms.send(new ResumeMicrovmCommand({ microvmIdentifier }));
      await waitForState(service.clients, microvm.id, ["RUNNING"]);
    }
    const numbers = (await shell.untilOutput(/the end\r\n/, from)).match(/n\d+(?=\r\n)/g);
    assert.deepEqual(
      numbers,
      Array.from({ length: 400 }, (_, index) => `n${index + 1}`),
    );
  });

  test("termination closes the client's side", async () => {
    const doomed = await runMicrovm(service, imageArn, { ingressNetworkConnectors: WITH_SHELL });
    const shell = await openShell(doomed);
    const terminate = new TerminateMicrovmCommand({ microvmIdentifier: doomed.id });
    await service.clients.microvms.send(terminate);
    assert.deepEqual(await shell.untilClosed(), { code: 1001, reason: "microVM terminated" });
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

  test("torpor shell joins pipes and a terminal to a shell, and restores the terminal", async () => {
    const torpor = [path.join(REPOSITORY, "bin/torpor"), "shell", microvm.id];
    const command = [...torpor, "--data-dir", service.dataDir];
    const piped = await runProgram(command, "echo $((6*7))\nexit 3\n");
    assert.match(piped.output, /\D42\r\n/);
    assert.equal(piped.exitCode, 0);
    // The end of the pipe is the end of the shell.
    assert.equal((await runProgram(command, "echo no newline")).exitCode, 0);
    const inTerminal = `stty rows 33 cols 99; stty -g > before; ${command.join(" ")}; echo "code $?"; stty -g > after`;
    await using scratch = new AsyncDisposableStack();
    const directory = await mkdtemp(path.join(tmpdir(), "torpor-shell-"));
    scratch.defer(() => rm(directory, { recursive: true }));
    const seen = await runProgram(
      ["script", "-qec", inTerminal, "/dev/null"],
      "stty size\nexit\n",
      directory,
    );
    assert.match(seen.output, /33 99\r+\n/);
    assert.match(seen.output, /code 0\r\n/);
    const settings = ["before", "after"].map((name) =>
      readFileSync(path.join(directory, name), "utf8"),
    );
    assert.equal(settings[0], settings[1]);
  });

  test("torpor shell says clearly what is wrong", async () => {
    const torpor = path.join(REPOSITORY, "bin/torpor");
    const shell = (...args: string[]) =>
      runProgram([torpor, "shell", ...args, "--data-dir", service.dataDir], "");
    const closed = await runMicrovm(service, imageArn);
    assert.deepEqual(await shell(closed.id), {
      exitCode: 1,
      output:
        "torpor shell: Cannot open a shell: Shell access requires SHELL_INGRESS network connector to be configured on the MicroVM.\n",
    });
    const none = closed.id.replace(/.{12}$/, "000000000000");
    assert.match((await shell(none)).output, new RegExp(`MicroVM not found: ${none}`));
    assert.equal((await shell()).exitCode, 2);
  });
});

/** Output of both kinds together. */
async function runProgram(
  [program = "", ...args]: readonly string[],
  input: string,
  cwd = process.cwd(),
): Promise<{ readonly exitCode: number | null; readonly output: string }> {
  // Where the tests are started from a shell that was told of another service, its authority may be gone: Node says so.
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: undefined };
  const child = spawn(program, args, { cwd, env, timeout: 60_000 });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stdin.end(input);
  const [exitCode] = (await once(child, "close")) as [number | null];
  return { exitCode, output };
}
