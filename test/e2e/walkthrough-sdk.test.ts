// The whole walkthrough with the AWS SDK for JavaScript, on the Flask example of the README.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import {
  DeleteMicrovmImageCommand,
  GetMicrovmCommand,
  GetMicrovmImageCommand,
  ListMicrovmImagesCommand,
  ResumeMicrovmCommand,
  SuspendMicrovmCommand,
  TerminateMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import {
  createImage,
  poll,
  uploadArtifact,
  waitForBuild,
  waitForState,
  zipDirectory,
} from "../../scripts/walkthrough/client.ts";
import { REPOSITORY } from "../../scripts/walkthrough/service.ts";
import { ancestry, type Collector, startCollector } from "../support/collector.ts";
import { assertContinues, type Counter, runMicrovm, type TestMicrovm } from "./support/microvm.ts";
import { buildLog, startTestService, type TestService, vmmPids } from "./support/test-service.ts";

describe("the walkthrough with the AWS SDK for JavaScript", { timeout: 600_000 }, () => {
  let service: TestService;
  let collector: Collector;
  /** Directory of the access log. */
  let logs: string;
  let imageArn: string;
  let microvm: TestMicrovm;
  let last: Counter;

  const cleanUp = new AsyncDisposableStack();
  before(async () => {
    collector = cleanUp.use(await startCollector());
    logs = mkdtempSync(path.join(tmpdir(), "torpor-e2e-logs-"));
    cleanUp.defer(() => rmSync(logs, { recursive: true }));
    const config = `ingress.accessLog = "${logs}/access"\ntraces.endpoint = "${collector.endpoint}"\n`;
    service = cleanUp.use(await startTestService({ config }));
  });

  after(() => cleanUp.disposeAsync());

  test("a zipped Dockerfile becomes an image", async () => {
    const { clients } = service;
    const zip = await zipDirectory(path.join(REPOSITORY, "examples/flask"));
    imageArn = await createImage(clients, "flask", await uploadArtifact(clients, "flask.zip", zip));
    assert.match(imageArn, /^arn:aws:lambda:us-east-1:\d{12}:microvm-image:flask$/);
    const version = await waitForBuild(clients, imageArn);
    assert.equal(version.state, "SUCCESSFUL", buildLog(clients, "flask"));
    const image = await clients.microvms.send(
      new GetMicrovmImageCommand({ imageIdentifier: imageArn }),
    );
    assert.equal(image.state, "CREATED");
    assert.equal(image.latestActiveImageVersion, "1.0");
    const list = await clients.microvms.send(new ListMicrovmImagesCommand({}));
    assert.deepEqual(
      list.items?.map((item) => item.name),
      ["flask"],
    );
    assert.match(buildLog(clients, "flask"), /Successfully installed .*flask/i);
  });

  test("a microVM of it answers on its endpoint and counts", async () => {
    const idlePolicy = {
      maxIdleDurationSeconds: 60,
      suspendedDurationSeconds: 600,
      autoResumeEnabled: true,
    };
    microvm = await runMicrovm(service, imageArn, { idlePolicy });
    const first = await microvm.count();
    assert.equal(first.count, 1);
    last = await microvm.count();
    assertContinues(first, last);
  });

  test("suspended it has no process, and the next request wakes it with its memory", async () => {
    const { clients } = service;
    await clients.microvms.send(new SuspendMicrovmCommand({ microvmIdentifier: microvm.id }));
    await waitForState(clients, microvm.id, ["SUSPENDED"]);
    assert.deepEqual(vmmPids(service.dataDir), []);
    const now = await microvm.count();
    assertContinues(last, now);
    last = now;
    await waitForState(clients, microvm.id, ["RUNNING"]);
  });

  test("an explicit resume wakes it too", async () => {
    const { clients } = service;
    await clients.microvms.send(new SuspendMicrovmCommand({ microvmIdentifier: microvm.id }));
    await waitForState(clients, microvm.id, ["SUSPENDED"]);
    await clients.microvms.send(new ResumeMicrovmCommand({ microvmIdentifier: microvm.id }));
    await waitForState(clients, microvm.id, ["RUNNING"]);
    const now = await microvm.count();
    assertContinues(last, now);
    last = now;
  });

  test("its idle policy puts it to sleep, and it wakes again", async () => {
    await waitForState(service.clients, microvm.id, ["SUSPENDED"], 120_000);
    const now = await microvm.count();
    assertContinues(last, now);
    last = now;
  });

  test("the metrics tell of what it has been through", async () => {
    const response = await fetch(`${service.service.environment["AWS_ENDPOINT_URL"]}/metrics`);
    const text = await response.text();
    const value = (name: string) => Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1]);
    assert.equal(value("torpor_microvm_launch_seconds_count"), 1);
    assert.equal(value("torpor_microvm_suspend_seconds_count"), 3);
    assert.equal(value("torpor_microvm_resume_seconds_count"), 3);
    assert.equal(value('torpor_microvms\\{state="RUNNING"\\}'), 1);
    assert.ok(value("torpor_suspend_written_bytes_total") > 100_000);
    assert.equal(value('torpor_build_seconds_count\\{outcome="success"\\}'), 1);
  });

  test("the traces tell what the time of it went into", async () => {
    const launch = "step run < RunMicrovm";
    const wake = "step resume < wait for microvm < GET";
    const expected = [
      ...["lease slot", "restore vmm", "greet agent"].map((is) => `${is} < host run < ${launch}`),
      `restore vmm < host resume < ${wake}`,
      "restore vmm < host resume < step resume < ResumeMicrovm",
      ...["pause vmm", "save memory", "save devices", "sync saved state"].map(
        (phase) => `${phase} < host suspend < step suspend < SuspendMicrovm`,
      ),
      // Of the idle policy.
      "save memory < host suspend < step suspend",
      ...["fetch the artifact", "build the container", "boot and snapshot"].map(
        (phase) => `${phase} < build`,
      ),
      "restore vmm < check that the snapshot restores < build",
    ];
    const spans = await poll(30_000, `the spans ${expected.join(", ")}`, () => {
      const sent = collector.spans();
      const chains = new Set(sent.map((span) => ancestry(sent, span).join(" < ")));
      return Promise.resolve(expected.every((chain) => chains.has(chain)) ? sent : undefined);
    });
    for (const span of spans) {
      const outer = spans.find(({ spanId }) => spanId === span.parentSpanId);
      if (outer === undefined) continue;
      assert.ok(BigInt(outer.startTimeUnixNano) <= BigInt(span.startTimeUnixNano), span.name);
      // A step has a few things left to do when it has let its requests through.
      if (span.name.startsWith("step ")) continue;
      assert.ok(BigInt(outer.endTimeUnixNano) >= BigInt(span.endTimeUnixNano), span.name);
    }
  });

  test("its requests are in the access log, also after that was rotated", async () => {
    const [current, moved] = [path.join(logs, "access"), path.join(logs, "access.1")];
    const requests = (file: string) => readFileSync(file, "utf8").split("\n").length - 1;
    renameSync(current, moved);
    process.kill(service.service.pid, "SIGHUP");
    await poll(10_000, "a new access log", async () => (existsSync(current) ? true : undefined));
    last = await microvm.count();
    await poll(10_000, "the request in it", async () => (requests(current) > 0 ? true : undefined));
    assert.ok(requests(moved) >= 5);
    assert.match(
      readFileSync(current, "utf8"),
      new RegExp(`"microvmId":"${microvm.id}".*"status":200`),
    );
  });

  test("terminated it is gone, and stays visible as such", async () => {
    const { clients } = service;
    await clients.microvms.send(new TerminateMicrovmCommand({ microvmIdentifier: microvm.id }));
    const ended = await waitForState(clients, microvm.id, ["TERMINATED"]);
    assert.equal(ended.stateReason, "Success.");
    assert.ok(ended.terminatedAt !== undefined);
    assert.deepEqual(vmmPids(service.dataDir), []);
    assert.equal((await microvm.call("/")).status, 502);
    const still = await clients.microvms.send(
      new GetMicrovmCommand({ microvmIdentifier: microvm.id }),
    );
    assert.equal(still.state, "TERMINATED");
  });

  test("its image can then be deleted", async () => {
    const { clients } = service;
    const command = new DeleteMicrovmImageCommand({ imageIdentifier: imageArn });
    assert.equal((await clients.microvms.send(command)).state, "DELETING");
    await poll(30_000, "the image to be gone", async () => {
      const list = await clients.microvms.send(new ListMicrovmImagesCommand({}));
      return list.items?.length === 0 ? true : undefined;
    });
  });
});
