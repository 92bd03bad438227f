// `make demo`: the whole walkthrough on a real microVM, with the unmodified AWS SDK, checked as it goes.

import assert from "node:assert/strict";
import { watch } from "node:fs";
import { open, stat } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import {
  DeleteMicrovmImageCommand,
  RunMicrovmCommand,
  SuspendMicrovmCommand,
  TerminateMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import {
  callEndpoint,
  type Clients,
  createClients,
  buildReason,
  createImage,
  mintToken,
  poll,
  uploadArtifact,
  waitForBuild,
  waitForState,
  zipDirectory,
} from "./walkthrough/client.ts";
import { REPOSITORY, startService } from "./walkthrough/service.ts";

/** What the Flask example answers. */
interface Counter {
  readonly count: number;
  readonly pid: number;
  readonly uptimeSeconds: number;
}

/** The shortest idle time the service allows. */
const IDLE_SECONDS = 60;

const rows: { step: string; ms: number }[] = [];

async function timed<T>(step: string, work: () => Promise<T>): Promise<T> {
  process.stdout.write(`→ ${step}\n`);
  const began = performance.now();
  const result = await work();
  rows.push({ step, ms: performance.now() - began });
  return result;
}

/** Prints a file's lines as they are written until `stop` settles. */
async function follow(file: string, stop: Promise<unknown>): Promise<void> {
  let isStopped = false;
  void stop.finally(() => (isStopped = true)).catch(() => undefined);
  await poll(30_000, `the build log ${file}`, async () => {
    if (isStopped) return true;
    return stat(file).catch(() => undefined);
  });
  await using handle = await open(file, "r");
  using _watcher = {
    watcher: watch(file),
    [Symbol.dispose]() {
      this.watcher.close();
    },
  };
  let position = 0;
  for (;;) {
    const ending = isStopped;
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(65_536), 0, 65_536, position);
    position += bytesRead;
    process.stdout.write(buffer.toString("utf8", 0, bytesRead).replace(/^\S+ /gm, "    "));
    if (bytesRead === 0 && ending) return;
    if (bytesRead === 0) await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function build(clients: Clients, name: string): Promise<string> {
  const zip = await timed("zip examples/flask", () =>
    zipDirectory(path.join(REPOSITORY, "examples/flask")),
  );
  const uri = await timed("upload the artifact (PutObject)", () =>
    uploadArtifact(clients, `${name}.zip`, zip),
  );
  const imageArn = await timed("CreateMicrovmImage", () => createImage(clients, name, uri));
  await timed("build, boot and snapshot the image", async () => {
    const built = waitForBuild(clients, imageArn);
    const { account, region, service } = clients;
    const log = path.join(service.dataDir, "logs/images", account, region, name, "1.0.log");
    await follow(log, built);
    const version = await built;
    const reason = await buildReason(clients, imageArn);
    assert.equal(version.state, "SUCCESSFUL", `the build failed: ${reason}`);
  });
  return imageArn;
}

async function walk(clients: Clients, imageArn: string): Promise<void> {
  const idlePolicy = {
    maxIdleDurationSeconds: IDLE_SECONDS,
    suspendedDurationSeconds: 600,
    autoResumeEnabled: true,
  };
  const { microvmId: microvmIdentifier = "", endpoint = "" } = await timed("RunMicrovm", () =>
    clients.microvms.send(new RunMicrovmCommand({ imageIdentifier: imageArn, idlePolicy })),
  );
  const token = await timed("CreateMicrovmAuthToken", () => mintToken(clients, microvmIdentifier));
  const call = async (): Promise<Counter> => {
    const answer = await callEndpoint(clients.service, endpoint, token);
    assert.equal(answer.status, 200, answer.body);
    const counter = JSON.parse(answer.body) as Counter;
    process.stdout.write(`    ${JSON.stringify(counter)}\n`);
    return counter;
  };
  const checkContinues = (before: Counter, now: Counter) => {
    assert.equal(now.count, before.count + 1, "the request counter went on");
    assert.equal(now.pid, before.pid, "the process is the same");
    assert.ok(now.uptimeSeconds >= before.uptimeSeconds, "the uptime went on");
  };

  const first = await timed("first request", call);
  const second = await timed("second request", call);
  checkContinues(first, second);
  await timed("SuspendMicrovm until SUSPENDED", async () => {
    await clients.microvms.send(new SuspendMicrovmCommand({ microvmIdentifier }));
    await waitForState(clients, microvmIdentifier, ["SUSPENDED"]);
  });
  const third = await timed("request that wakes it", call);
  checkContinues(second, third);
  await timed(`idle policy: asleep after ${IDLE_SECONDS} s without a request`, () =>
    waitForState(clients, microvmIdentifier, ["SUSPENDED"], (IDLE_SECONDS + 30) * 1000),
  );
  const fourth = await timed("request that wakes it again", call);
  checkContinues(third, fourth);
  await timed("TerminateMicrovm until TERMINATED", async () => {
    await clients.microvms.send(new TerminateMicrovmCommand({ microvmIdentifier }));
    await waitForState(clients, microvmIdentifier, ["TERMINATED"]);
  });
}

function printTable(): void {
  const width = Math.max(...rows.map((row) => row.step.length));
  process.stdout.write(`\n${"step".padEnd(width)}        time\n`);
  for (const { step, ms } of rows) {
    const time = ms < 10_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s `;
    process.stdout.write(`${step.padEnd(width)}  ${time.padStart(10)}\n`);
  }
}

const { values } = parseArgs({ options: { "data-dir": { type: "string", default: ".torpor" } } });
const service = await timed("start torpor serve", () =>
  startService({ dataDir: path.resolve(values["data-dir"]) }),
);
try {
  using clients = createClients(service);
  const imageArn = await build(clients, `demo-${Date.now().toString(36)}`);
  try {
    await walk(clients, imageArn);
  } finally {
    await clients.microvms.send(new DeleteMicrovmImageCommand({ imageIdentifier: imageArn }));
  }
} finally {
  await service.stop();
}
printTable();
process.stdout.write("\nCounter, process and uptime went on across every sleep.\n");
