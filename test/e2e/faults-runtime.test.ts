// What callers and guests do wrong while microVMs run: each gets a clear answer in the right place.

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import {
  CreateMicrovmAuthTokenCommand,
  GetMicrovmCommand,
  LambdaMicrovmsClient,
  ListMicrovmsCommand,
  RunMicrovmCommand,
  SuspendMicrovmCommand,
  TerminateMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import { mintToken, waitForState } from "../../scripts/walkthrough/client.ts";
import { createTokens } from "../../src/tokens/jwe-tokens.ts";
import { openTokenKeys } from "../../src/tokens/keys.ts";
import { runMicrovm, type TestMicrovm } from "./support/microvm.ts";
import {
  buildCounter,
  startTestService,
  type TestService,
  vmmPids,
} from "./support/test-service.ts";

const HOUR_MS = 3_600_000;

describe("faults while microVMs run", { timeout: 600_000 }, () => {
  let service: TestService;
  let imageArn: string;
  let microvm: TestMicrovm;

  before(async () => {
    service = await startTestService();
    imageArn = await buildCounter(service.clients);
    microvm = await runMicrovm(service, imageArn);
  });

  after(async () => {
    await service[Symbol.asyncDispose]();
  });

  test("an unknown image is not found", async () => {
    const unknown = imageArn.replace(/counter$/, "nothing");
    await assert.rejects(
      service.clients.microvms.send(new RunMicrovmCommand({ imageIdentifier: unknown })),
      {
        name: "ResourceNotFoundException",
        message: `No active version found for MicroVM image ${unknown}`,
      },
    );
  });

  test("an unsigned request is refused", async () => {
    const answer = await fetch(`${service.service.endpoint}/2025-09-09/microvms`);
    assert.equal(answer.status, 403);
    assert.match(answer.headers.get("x-amzn-errortype") ?? "", /MissingAuthenticationToken/);
  });

  test("a request signed with a wrong secret is refused", async () => {
    const { environment, endpoint } = service.service;
    const client = new LambdaMicrovmsClient({
      endpoint,
      region: "us-east-1",
      maxAttempts: 1,
      credentials: {
        accessKeyId: environment["AWS_ACCESS_KEY_ID"] ?? "",
        secretAccessKey: "not the secret",
      },
    });
    await assert.rejects(client.send(new ListMicrovmsCommand({})), {
      name: "InvalidSignatureException",
    });
    client.destroy();
  });

  test("a call without a token is refused", async () => {
    const answer = await microvm.call("/", { headers: { "x-aws-proxy-auth": "" } });
    assert.equal(answer.status, 403);
    assert.equal(answer.headers["x-aws-proxy-error"], "UNAUTHORIZED");
  });

  test("a token of another microVM is refused", async () => {
    const other = await runMicrovm(service, imageArn);
    const answer = await microvm.call("/", { headers: { "x-aws-proxy-auth": other.token } });
    assert.equal(answer.status, 403);
    assert.equal(answer.body, "Token authentication failed");
  });

  test("an expired token is refused", async () => {
    const keys = await openTokenKeys({ now: Date.now }, path.join(service.dataDir, "keys"));
    const past = Date.now() - HOUR_MS;
    const expired = await createTokens({ keys, now: () => past }).mint({
      microvmId: microvm.id,
      ports: [{ allPorts: {} }],
      expiresAt: past + HOUR_MS / 2,
    });
    const answer = await microvm.call("/", { headers: { "x-aws-proxy-auth": expired } });
    assert.equal(answer.status, 403);
  });

  test("a port the token does not grant is refused", async () => {
    const answer = await microvm.call("/", { headers: { "x-aws-proxy-port": "9999" } });
    assert.equal(answer.status, 403);
    assert.equal(answer.body, "Access to port denied");
  });

  test("a closed port answers 502, and so does the agent's", async () => {
    const { authToken } = await service.clients.microvms.send(
      new CreateMicrovmAuthTokenCommand({
        microvmIdentifier: microvm.id,
        expirationInMinutes: 5,
        allowedPorts: [{ allPorts: {} }],
      }),
    );
    for (const port of ["9999", "1023"]) {
      const headers = {
        "x-aws-proxy-auth": authToken?.["X-aws-proxy-auth"] ?? "",
        "x-aws-proxy-port": port,
      };
      const answer = await microvm.call("/", { headers });
      assert.equal(answer.status, 502, port);
      assert.equal(answer.headers["x-aws-proxy-error"], "APP_CONNECT_FAILED", port);
    }
  });

  test("large bodies stream both ways", async () => {
    const body = Buffer.alloc(3 * 1024 * 1024, "torpor ");
    const answer = await microvm.call("/echo", { method: "POST", body });
    assert.equal(answer.status, 200);
    assert.equal(answer.body, body.toString());
  });

  test("a suspended microVM without auto-resume stays asleep and answers 502", async () => {
    const idlePolicy = {
      maxIdleDurationSeconds: 3600,
      suspendedDurationSeconds: 3600,
      autoResumeEnabled: false,
    };
    const sleeper = await runMicrovm(service, imageArn, { idlePolicy });
    await service.clients.microvms.send(
      new SuspendMicrovmCommand({ microvmIdentifier: sleeper.id }),
    );
    await waitForState(service.clients, sleeper.id, ["SUSPENDED"]);
    assert.equal((await sleeper.call("/")).status, 502);
    await waitForState(service.clients, sleeper.id, ["SUSPENDED"]);
  });

  test("many requests to a suspended microVM wake it once and are all answered", async () => {
    await service.clients.microvms.send(
      new SuspendMicrovmCommand({ microvmIdentifier: microvm.id }),
    );
    await waitForState(service.clients, microvm.id, ["SUSPENDED"]);
    const answers = await Promise.all(Array.from({ length: 12 }, () => microvm.count()));
    const counts = answers.map((answer) => answer.count).sort((a, b) => a - b);
    assert.deepEqual(
      counts,
      Array.from(counts, (_count, n) => (counts[0] ?? 0) + n),
    );
  });

  test("an application that exits ends its microVM with the reason", async () => {
    const leaver = await runMicrovm(service, imageArn);
    await leaver.call("/exit?code=5").catch(() => undefined);
    const ended = await waitForState(service.clients, leaver.id, ["TERMINATED"]);
    assert.match(ended.stateReason ?? "", /exited with code 5/);
    assert.match(ended.stateReason ?? "", /leaving/);
  });

  test("a VMM killed from outside ends its microVM with the reason, and no other", async () => {
    const before = new Set(vmmPids(service.dataDir));
    const victim = await runMicrovm(service, imageArn);
    const pid = vmmPids(service.dataDir).find((candidate) => !before.has(candidate));
    assert.ok(pid !== undefined);
    process.kill(pid, "SIGKILL");
    const ended = await waitForState(service.clients, victim.id, ["TERMINATED"]);
    assert.match(ended.stateReason ?? "", /ended unexpectedly.*SIGKILL/);
    assert.equal((await victim.call("/")).status, 502);
    await microvm.count();
  });

  test("a maximum duration ends a microVM that runs and one that sleeps", async () => {
    const short = { maximumDurationInSeconds: 15 };
    const running = await runMicrovm(service, imageArn, short);
    const sleeping = await runMicrovm(service, imageArn, short);
    await service.clients.microvms.send(
      new SuspendMicrovmCommand({ microvmIdentifier: sleeping.id }),
    );
    for (const { id } of [running, sleeping]) {
      const ended = await waitForState(service.clients, id, ["TERMINATED"]);
      assert.equal(ended.stateReason, "MicroVM exceeded maximum lifetime.");
    }
  });

  test("a terminated microVM keeps its last word", async () => {
    const gone = await runMicrovm(service, imageArn);
    const microvmIdentifier = gone.id;
    await service.clients.microvms.send(new TerminateMicrovmCommand({ microvmIdentifier }));
    await waitForState(service.clients, gone.id, ["TERMINATED"]);
    await service.clients.microvms.send(new TerminateMicrovmCommand({ microvmIdentifier }));
    await assert.rejects(
      service.clients.microvms.send(new SuspendMicrovmCommand({ microvmIdentifier })),
      {
        name: "ValidationException",
        message: `The MicroVM ${gone.id} has been terminated and its state cannot be changed.`,
      },
    );
    const record = await service.clients.microvms.send(
      new GetMicrovmCommand({ microvmIdentifier }),
    );
    assert.equal(record.stateReason, "Success.");
  });

  test("tokens reach nobody's log", async () => {
    const token = await mintToken(service.clients, microvm.id);
    await microvm.call("/", { headers: { "x-aws-proxy-auth": token } });
    assert.equal(
      service.log.some((line) => line.includes(token.slice(-40))),
      false,
    );
  });
});
