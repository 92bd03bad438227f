// Traces as a collector gets them: real API and ingress over the real domain, on a host without machines.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { connect } from "node:http2";
import { describe, it } from "node:test";
import { text } from "node:stream/consumers";
import { CreateMicrovmImageCommand, GetMicrovmCommand } from "@aws-sdk/client-lambda-microvms";
import { createDomain } from "../../../src/domain.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { openSqliteStore } from "../../../src/store/sqlite.ts";
import { traceHost } from "../../../src/traces/host-traces.ts";
import { createTraces } from "../../../src/traces/traces.ts";
import { addBuiltImage } from "../../fixtures/domain-records.ts";
import { createFakeHost } from "../../fixtures/fake-host.ts";
import { IMAGE_ARN, MICROVM_ID } from "../../unit/api/fixtures.ts";
import { CONFIGURATION } from "../api/image-service.ts";
import { sendSigned, startHarness as startApi } from "../api/harness.ts";
import { ENDPOINT_HOST, fetchOnce, startHarness as startIngress } from "../ingress/harness.ts";
import { ALL_HOOKS, eventually } from "../scheduler/harness.ts";
import {
  ancestry,
  attribute,
  type CollectedSpan,
  startCollector,
} from "../../support/collector.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT_SPAN = "00f067aa0ba902b7";
const SAMPLED = `00-${TRACE}-${CLIENT_SPAN}-01`;
const POLICY = {
  ...{ maxIdleDurationSeconds: 60, suspendedDurationSeconds: 300, autoResumeEnabled: true },
};

async function startTraces() {
  await using acquired = new AsyncDisposableStack();
  const collector = acquired.use(await startCollector());
  const observe = () => undefined;
  const traces = acquired.use(
    createTraces(
      { clock: systemClock(), log: silentLog(), version: "1.2.3", observe },
      { endpoint: collector.endpoint, headers: {}, sampleRatio: 1 },
    ),
  );
  const owned = acquired.move();
  return {
    traces,
    /** Everything that was traced; nothing is after this. */
    async spans(): Promise<CollectedSpan[]> {
      await traces[Symbol.asyncDispose]();
      return collector.spans();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A service with the image "flask", traced. */
async function startService() {
  await using acquired = new AsyncDisposableStack();
  const { traces, spans } = acquired.use(await startTraces());
  const { trace } = traces;
  const store = acquired.use(await openSqliteStore(":memory:"));
  await addBuiltImage(store, "flask", ALL_HOOKS);
  const host = createFakeHost();
  const quotas = { images: 8, versionsPerImage: 4, memoryMiB: 4096, networkConnectors: 2 };
  const domain = acquired.use(
    createDomain({
      ...{ store, host: traceHost(trace, host), clock: traces.outside(systemClock()), trace },
      log: silentLog(),
      config: { terminatedRetentionHours: 24, ingress: { waitSeconds: 30 }, quotas },
    }),
  );
  await domain.start(new AbortController().signal);
  const { microvms, images } = domain;
  const api = acquired.use(await startApi({ microvms, images, trace }));
  const openFrom = {
    ...domain.traffic,
    open: async (microvmId: string, signal: AbortSignal) => {
      const lease = await domain.traffic.open(microvmId, signal);
      const dispose = () => lease[Symbol.dispose]();
      return { ...lease, address: "127.0.0.1", [Symbol.dispose]: dispose };
    },
  };
  const ingress = acquired.use(
    await startIngress({
      ...{ openFrom, trace },
      app: (request, response) => response.end(request.headers.traceparent),
    }),
  );
  const owned = acquired.move();
  return {
    ...{ store, ingress, spans, lambda: api.lambda },
    call: (method: string, path: string, body?: object) =>
      sendSigned(api, {
        ...{ method, path, headers: { traceparent: SAMPLED } },
        ...(body && { body: JSON.stringify(body) }),
      }),
    reaches: (microvmId: string, state: string) =>
      eventually(async () => (await store.microvms.get(microvmId))?.state === state),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function only(spans: readonly CollectedSpan[], name: string): CollectedSpan {
  const found = spans.filter((span) => span.name === name);
  assert.equal(found.length, 1, `${name} among ${spans.map((span) => span.name).join(", ")}`);
  return found[0] as CollectedSpan;
}

describe("traces of a service", () => {
  it("show a launch, a suspend and a wake-up from what asked for them to the host", async () => {
    await using service = await startService();
    const { call, reaches, ingress, store } = service;
    const input = { imageIdentifier: IMAGE_ARN, idlePolicy: POLICY };
    const { status, body } = await call("POST", "/2025-09-09/microvms", input);
    assert.equal(status, 200, body);
    const { microvmId } = JSON.parse(body) as { microvmId: string };
    await reaches(microvmId, "RUNNING");
    await call("POST", `/2025-09-09/microvms/${microvmId}/suspend`);
    await reaches(microvmId, "SUSPENDED");
    const record = await store.microvms.get(microvmId);
    const reply = await fetchOnce(ingress, {
      headers: {
        host: ENDPOINT_HOST.replace(/^[^.]*/, record?.endpointId ?? ""),
        "x-aws-proxy-auth": await ingress.token({ microvmId }),
        "x-aws-proxy-port": String(ingress.appPort),
      },
    });
    assert.equal(reply.status, 200);
    const spans = await service.spans();
    const launch = ["step run", "RunMicrovm"];
    assert.deepEqual(ancestry(spans, only(spans, "host run")), ["host run", ...launch]);
    assert.deepEqual(ancestry(spans, only(spans, "hook run")), ["hook run", ...launch]);
    const sleep = ["step suspend", "SuspendMicrovm"];
    assert.deepEqual(ancestry(spans, only(spans, "host suspend")), ["host suspend", ...sleep]);
    const wake = ["step resume", "wait for microvm", "GET"];
    assert.deepEqual(ancestry(spans, only(spans, "host resume")), ["host resume", ...wake]);
    const run = only(spans, "RunMicrovm");
    assert.deepEqual([run.traceId, run.parentSpanId, run.kind], [TRACE, CLIENT_SPAN, 2]);
    assert.equal(attribute(run, "http.response.status_code"), "200");
    assert.equal(attribute(only(spans, "step run"), "torpor.microvm.id"), microvmId);
    const get = only(spans, "GET");
    assert.equal(get.parentSpanId, undefined);
    assert.equal(attribute(get, "torpor.microvm.id"), microvmId);
    // What the application is told to be a part of.
    assert.equal(reply.body, `00-${get.traceId}-${get.spanId}-01`);
  });

  it("show a build in a trace of its own, and an operation that was refused", async () => {
    await using service = await startService();
    const { lambda, store } = service;
    await lambda.send(new CreateMicrovmImageCommand({ ...CONFIGURATION, name: "other" }));
    await eventually(async () => (await store.images.listUnfinishedBuilds()).length === 0);
    const unknown = new GetMicrovmCommand({ microvmIdentifier: MICROVM_ID });
    await assert.rejects(lambda.send(unknown), { name: "ResourceNotFoundException" });
    const spans = await service.spans();
    const build = only(spans, "build");
    assert.equal(build.parentSpanId, undefined);
    assert.notEqual(build.traceId, only(spans, "CreateMicrovmImage").traceId);
    assert.equal(attribute(build, "torpor.image.version"), "1.0");
    const refused = only(spans, "GetMicrovm");
    assert.equal(refused.status, undefined);
    assert.equal(attribute(refused, "http.response.status_code"), "404");
    assert.equal(attribute(refused, "error.type"), "NOT_FOUND");
  });
});

describe("traces of the ingress", () => {
  const echo: RequestListener = (request, response) => {
    const names = new Set(["traceparent", "tracestate"]);
    const raw = request.rawHeaders;
    const kept = raw.filter((_text, at) => names.has(raw[at - (at % 2)]?.toLowerCase() ?? ""));
    response.end(JSON.stringify(kept));
  };

  async function setUp() {
    await using acquired = new AsyncDisposableStack();
    const { traces, spans } = acquired.use(await startTraces());
    const ingress = acquired.use(await startIngress({ trace: traces.trace, app: echo }));
    const owned = acquired.move();
    return {
      ...{ ingress, spans },
      async get(headers: Record<string, string>): Promise<string[]> {
        const credentials = await ingress.credentials();
        const reply = await fetchOnce(ingress, { headers: { ...credentials, ...headers } });
        return JSON.parse(reply.body) as string[];
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  }

  it("continue the client's, and tell the application so", async () => {
    await using context = await setUp();
    const seen = await context.get({ TraceParent: SAMPLED, TraceState: "a=1" });
    const [span, ...others] = await context.spans();
    assert.equal(others.length, 0);
    assert.deepEqual([span?.traceId, span?.parentSpanId], [TRACE, CLIENT_SPAN]);
    const traceparent = `00-${TRACE}-${span?.spanId}-01`;
    assert.deepEqual(seen, ["TraceState", "a=1", "traceparent", traceparent]);
  });

  it("do so over HTTP/2", async () => {
    await using context = await setUp();
    const { ingress } = context;
    const { host, port } = ingress.ingress.address;
    const session = connect(`https://${ENDPOINT_HOST}`, {
      ...{ host, port, servername: ENDPOINT_HOST, ca: ingress.caCertificate },
    });
    const stream = session.request({
      ...{ ...(await ingress.credentials()), traceparent: SAMPLED },
    });
    const body = await text(stream);
    session.close();
    await once(session, "close");
    const span = only(await context.spans(), "GET");
    assert.equal(attribute(span, "network.protocol.version"), "2");
    assert.deepEqual(JSON.parse(body), ["traceparent", `00-${TRACE}-${span.spanId}-01`]);
  });

  it("begin anew, without the client's state, where its field cannot be used", async () => {
    await using context = await setUp();
    const seen = await context.get({ traceparent: `${SAMPLED}-more`, tracestate: "a=1" });
    const [span] = await context.spans();
    assert.notEqual(span?.traceId, TRACE);
    assert.deepEqual(seen, ["traceparent", `00-${span?.traceId}-${span?.spanId}-01`]);
  });

  it("leave out what the client does not want recorded, but go on in its trace", async () => {
    await using context = await setUp();
    const seen = await context.get({ traceparent: `00-${TRACE}-${CLIENT_SPAN}-00` });
    assert.deepEqual(await context.spans(), []);
    assert.match(seen[1] ?? "", new RegExp(`^00-${TRACE}-(?!${CLIENT_SPAN})[0-9a-f]{16}-00$`));
  });

  it("hold nothing that is secret or as long as a client likes", async () => {
    await using context = await setUp();
    const { ingress } = context;
    const path = "/secret-path?secret-query=1";
    const token = await ingress.token();
    const headers = { "x-aws-proxy-auth": token, "x-aws-proxy-port": String(ingress.appPort) };
    await fetchOnce(ingress, { path, headers: { ...headers, "x-secret-field": "secret-value" } });
    const refused = await fetchOnce(ingress, { path, headers: { "x-aws-proxy-auth": "secret" } });
    assert.equal(refused.status, 403);
    const spans = await context.spans();
    assert.equal(spans.length, 2);
    const [good, bad] = spans;
    assert.ok(good && bad);
    assert.doesNotMatch(JSON.stringify(spans), new RegExp(`secret|${token}`));
    assert.equal(attribute(good, "torpor.microvm.port"), String(ingress.appPort));
    assert.equal(attribute(bad, "torpor.microvm.id"), undefined);
    assert.equal(attribute(bad, "torpor.proxy_error"), "UNAUTHORIZED");
  });

  it("leave the fields as they are where there are none", async () => {
    await using ingress = await startIngress({ app: echo });
    const fields = { traceparent: "of any form", tracestate: "a=1" };
    const headers = { ...(await ingress.credentials()), ...fields };
    const { body } = await fetchOnce(ingress, { headers });
    assert.deepEqual(JSON.parse(body), Object.entries(fields).flat());
  });
});
