// What programs that watch a service see, over HTTP and after real operations.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { GetMicrovmCommand, RunMicrovmCommand } from "@aws-sdk/client-lambda-microvms";
import { observeHost } from "../../../src/metrics/host-metrics.ts";
import { createInstruments } from "../../../src/metrics/metrics.ts";
import { observeExchanges, observeOperations } from "../../../src/metrics/observers.ts";
import { createProbes } from "../../../src/metrics/probes.ts";
import { ServiceError } from "../../../src/errors.ts";
import { createFakeHost } from "../../fixtures/fake-host.ts";
import { IMAGE_ARN, MICROVM_ID } from "../../unit/api/fixtures.ts";
import { type Harness, send, startHarness } from "../api/harness.ts";
import { fetchOnce, startHarness as startIngress } from "../ingress/harness.ts";

describe("probes", () => {
  const instruments = createInstruments("1.2.3");
  const stopping = new AbortController();
  let dataDir: string;
  let harness: Harness;

  const store = { ask: async (): Promise<unknown> => undefined };

  const probes = (allow: string[]) =>
    createProbes({
      askStore: () => store.ask(),
      ...{ instruments, dataDir, allow, stopping: stopping.signal },
      ...{ slots: { usage: () => ({ leased: 3, ready: 4 }) }, countConnections: () => 5 },
    });

  before(async () => {
    dataDir = await mkdtemp(path.join(tmpdir(), "torpor-probes-"));
    const observe = observeOperations(instruments);
    harness = await startHarness({ probes: probes(["127.0.0.0/8"]), observe });
  });

  after(async () => {
    await harness[Symbol.asyncDispose]();
    await rm(dataDir, { recursive: true });
  });

  const get = (target: string, method = "GET") => send(harness.port, { method, path: target });

  async function scrape(): Promise<Map<string, number>> {
    const { body } = await get("/metrics");
    const samples = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    return new Map(
      samples.map((line): [string, number] => {
        const at = line.lastIndexOf(" ");
        return [line.slice(0, at), Number(line.slice(at + 1))];
      }),
    );
  }

  it("say that the service lives, by GET and HEAD", async () => {
    assert.deepEqual(
      [(await get("/health")).status, (await get("/health", "HEAD")).status],
      [200, 200],
    );
    assert.equal((await get("/health", "POST")).status, 403);
  });

  it("say when the store cannot be read", async () => {
    assert.equal((await get("/ready")).status, 200);
    store.ask = () => Promise.reject(new Error("disk I/O error"));
    const { status, body } = await get("/ready");
    assert.equal(status, 503);
    assert.match(body, /The store cannot be read/);
    assert.doesNotMatch(body, /I\/O/);
    store.ask = async () => undefined;
    assert.equal((await get("/ready")).status, 200);
  });

  it("show metrics in the text format of Prometheus", async () => {
    const { status, headers, body } = await get("/metrics");
    assert.equal(status, 200);
    assert.match(headers["content-type"] ?? "", /^text\/plain; version=0\.0\.4/);
    for (const line of body.split("\n"))
      assert.match(line, /^(# (HELP|TYPE) \w+ .*|\w+(\{(\w+="[^"\n]*",?)*\})? [-+.\deNaIf]+|)$/);
    const samples = await scrape();
    assert.equal(samples.get('torpor_info{version="1.2.3"}'), 1);
    assert.equal(samples.get('torpor_slots{kind="leased"}'), 3);
    assert.equal(samples.get("torpor_ingress_connections"), 5);
    assert.ok((samples.get('torpor_host_memory_bytes{kind="total"}') ?? 0) > 2 ** 20);
    assert.ok((samples.get('torpor_data_directory_bytes{kind="available"}') ?? 0) > 2 ** 20);
  });

  it("count operations by name and status, those of no name not at all", async () => {
    const { lambda } = harness;
    await lambda.send(new GetMicrovmCommand({ microvmIdentifier: MICROVM_ID }));
    await lambda.send(new GetMicrovmCommand({ microvmIdentifier: MICROVM_ID }));
    const broken = { imageIdentifier: IMAGE_ARN, maximumDurationInSeconds: 0 };
    await assert.rejects(lambda.send(new RunMicrovmCommand(broken)));
    await get("/no/such/operation");
    const samples = await scrape();
    const count = (operation: string, status: number) =>
      samples.get(`torpor_api_request_seconds_count{operation="${operation}",status="${status}"}`);
    assert.deepEqual([count("GetMicrovm", 200), count("RunMicrovm", 400)], [2, 1]);
    const names = [...samples.keys()].filter((name) =>
      name.startsWith("torpor_api_request_seconds_count"),
    );
    assert.equal(names.length, 2);
  });

  it("time what the host does, by outcome", async () => {
    const fake = createFakeHost();
    await using host = observeHost(instruments, fake);
    const signal = new AbortController().signal;
    const request = {
      ...{ microvmId: MICROVM_ID, vmmId: "vmm-1", imageRef: "a/b/c/1.0" },
      egress: { internet: true },
    };
    await host.run(request, signal);
    await host.suspend("vmm-1", signal);
    fake.failNext("resume", new ServiceError("VMM_FAILED", "No"));
    await assert.rejects(host.resume({ ...request, vmmId: "vmm-2" }, signal));
    const given = AbortSignal.abort(new RangeError("The service ends"));
    await assert.rejects(host.run({ ...request, vmmId: "vmm-3" }, given), RangeError);
    const samples = await scrape();
    const count = (operation: string, outcome: string) =>
      samples.get(
        `torpor_host_operation_seconds_count{operation="${operation}",outcome="${outcome}"}`,
      );
    assert.deepEqual([count("run", "success"), count("run", "failure")], [1, undefined]);
    assert.deepEqual([count("suspend", "success"), count("resume", "failure")], [1, 1]);
    assert.equal(samples.get("torpor_suspend_written_bytes_total"), 5000);
  });

  it("count requests to endpoints, refusals among them", async () => {
    await using ingress = await startIngress({ observe: observeExchanges(instruments) });
    assert.equal((await fetchOnce(ingress, { headers: await ingress.credentials() })).status, 200);
    assert.equal((await fetchOnce(ingress)).status, 403);
    const samples = await scrape();
    const requests = (status: string) =>
      samples.get(`torpor_ingress_requests_total{status="${status}",protocol="HTTP/1.1"}`);
    assert.deepEqual([requests("2xx"), requests("4xx")], [1, 1]);
    assert.equal(samples.get('torpor_ingress_refusals_total{error="UNAUTHORIZED"}'), 1);
  });

  it("keep metrics from those who may not read them", async () => {
    await using closed = await startHarness({ probes: probes(["192.0.2.0/24", "2001:db8::/32"]) });
    assert.equal((await send(closed.port, { method: "GET", path: "/metrics" })).status, 403);
    const { mayReadMetrics } = probes(["192.0.2.0/24", "2001:db8::/32"]);
    const peers = ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "192.0.3.1", "::1", undefined];
    assert.deepEqual(peers.map(mayReadMetrics), [true, true, true, false, false, false]);
  });

  it("say that the service is not ready while it stops", async () => {
    assert.deepEqual(JSON.parse((await get("/ready")).body), { status: "ready" });
    stopping.abort();
    const { status, body } = await get("/ready");
    assert.equal(status, 503);
    assert.deepEqual(JSON.parse(body), {
      status: "unready",
      reasons: ["The service is stopping"],
    });
  });
});
