// gRPC through the ingress to an application that speaks it: gRPC's own interoperability client finds no difference to the
// application itself, and what goes wrong on the way shows as the status that a client expects.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { promisify } from "node:util";
import { goTool } from "../../support/go-tools.ts";
import { ServiceError } from "../../../src/errors.ts";
import {
  type CallResult,
  type GrpcApp,
  grpcMetadata,
  startGrpcApp,
  startGrpcClient,
} from "./grpc-peers.ts";
import { ENDPOINT_HOST, type Harness, startHarness } from "./harness.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 60_000;

/** What a client adds to each call to reach the application on the port. */
async function metadataFor(harness: Harness, port: number): Promise<Record<string, string>> {
  return {
    "x-aws-proxy-auth": await harness.token(),
    "x-aws-proxy-port": String(port),
    "x-aws-proxy-force-h2": "true",
  };
}

/** Cases of gRPC's interoperability tests that need no cloud. */
const INTEROP_CASES = [
  ...["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong"],
  ...["empty_stream", "timeout_on_sleeping_server", "cancel_after_begin"],
  ...["cancel_after_first_response", "status_code_and_message", "special_status_message"],
  ...["custom_metadata", "unimplemented_method", "unimplemented_service"],
  ...["rpc_soak", "channel_soak"],
];
/** The soak cases measure too, which is not what they are for here. */
const SOAK_FLAGS = [
  ...["-soak_iterations", "50", "-soak_overall_timeout_seconds", "60"],
  ...["-soak_per_iteration_max_acceptable_latency_ms", "60000"],
];

describe("gRPC's interoperability client", { timeout: 10 * TIMEOUT_MS }, () => {
  let harness: Harness;
  let app: GrpcApp;
  let program: string;

  before(async () => {
    program = await goTool("grpc-interop-client");
    app = await startGrpcApp();
    harness = await startHarness();
  });

  after(async () => {
    await harness[Symbol.asyncDispose]();
    await app[Symbol.asyncDispose]();
  });

  /** What the client has to say against the case; empty when it passes. */
  async function complaint(name: string, flags: readonly string[]): Promise<string> {
    const args = ["-test_case", name, "-server_host", "127.0.0.1", ...SOAK_FLAGS, ...flags];
    try {
      await run(program, args, { env: {}, timeout: TIMEOUT_MS });
      return "";
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return error.message;
    }
  }

  function throughIngress(fields: Readonly<Record<string, string>>): string[] {
    return [
      ...["-server_port", String(harness.ingress.address.port), "-use_tls"],
      ...["-use_test_ca", "-ca_file", harness.caFile, "-server_host_override", ENDPOINT_HOST],
      ...["-additional_metadata", grpcMetadata(fields)],
    ];
  }

  for (const name of INTEROP_CASES)
    it(`${name} passes with the application and through the ingress`, async () => {
      assert.equal(await complaint(name, ["-server_port", String(app.port)]), "");
      const fields = await metadataFor(harness, app.port);
      assert.equal(await complaint(name, throughIngress(fields)), "");
    });

  it("complains of an ingress that refuses it", async () => {
    const { "x-aws-proxy-auth": _, ...fields } = await metadataFor(harness, app.port);
    assert.match(await complaint("empty_unary", throughIngress(fields)), /PermissionDenied/);
  });
});

describe("a gRPC client", { timeout: 10 * TIMEOUT_MS }, () => {
  let harness: Harness;
  let app: GrpcApp;

  beforeEach(async () => {
    app = await startGrpcApp();
    harness = await startHarness();
  });

  afterEach(async () => {
    await harness[Symbol.asyncDispose]();
    await app[Symbol.asyncDispose]();
  });

  /** A client whose calls have these fields beside, or instead of, what leads to the application. */
  async function startClient(changes: Readonly<Record<string, string>> = {}) {
    return startGrpcClient(harness, { ...(await metadataFor(harness, app.port)), ...changes });
  }

  async function codeOf(result: Promise<CallResult>): Promise<string> {
    return (await result).code;
  }

  const REFUSED: readonly [string, string, Readonly<Record<string, string>>][] = [
    ["a token that is none", "PermissionDenied", { "x-aws-proxy-auth": "none" }],
    ["a port that is none", "Internal", { "x-aws-proxy-port": "http" }],
    ["a port where nothing listens", "Unavailable", { "x-aws-proxy-port": "1" }],
    // The application gets HTTP/1.1, which it does not speak.
    ["no wish for HTTP/2", "Unavailable", { "x-aws-proxy-force-h2": "false" }],
  ];
  for (const [what, code, changes] of REFUSED)
    it(`is told ${code} for ${what}`, async () => {
      await using client = await startClient(changes);
      assert.equal(await codeOf(client.ask("unary 1")), code);
      assert.equal(await codeOf(client.ask("open")), code);
    });

  it("is told Unavailable for a microVM that is gone", async () => {
    harness.traffic.beforeOpen = () => Promise.reject(new ServiceError("NOT_FOUND", "Gone"));
    await using client = await startClient();
    assert.equal(await codeOf(client.ask("unary 1")), "Unavailable");
  });

  it("is told Unavailable when the microVM goes midway, and later calls go on", async () => {
    await using client = await startClient();
    assert.equal(await codeOf(client.ask("open")), "OK");
    harness.traffic.vmm.abort();
    assert.equal(await codeOf(client.ask("wait")), "Unavailable");
    harness.traffic.vmm = new AbortController();
    assert.equal(await codeOf(client.ask("unary 1")), "OK");
  });

  it("is told Unavailable when the application dies midway, and later calls reach the next one", async () => {
    await using client = await startClient();
    assert.equal(await codeOf(client.ask("open")), "OK");
    await app.kill();
    assert.equal(await codeOf(client.ask("wait")), "Unavailable");
    assert.equal(await codeOf(client.ask("unary 1")), "Unavailable");
    app = await startGrpcApp("-port", String(app.port));
    assert.equal(await codeOf(client.ask("unary 1")), "OK");
    assert.equal(harness.ingress.countConnections(), 1);
  });

  it("ends its call with an application that stops, and later calls reach the next one", async () => {
    await using client = await startClient();
    assert.equal(await codeOf(client.ask("open")), "OK");
    const stopped = app.stop();
    // The call in progress keeps the application alive; its listener goes first.
    let code = "OK";
    while (code === "OK") code = await codeOf(client.ask("unary 1"));
    assert.equal(code, "Unavailable");
    assert.equal(await codeOf(client.ask("exchange 3 10")), "OK");
    assert.equal(await codeOf(client.ask("finish")), "OK");
    await stopped;
    app = await startGrpcApp("-port", String(app.port));
    assert.equal(await codeOf(client.ask("unary 1")), "OK");
  });

  it("cancels its call at the application", async () => {
    await using client = await startClient();
    assert.equal(await codeOf(client.ask("open")), "OK");
    assert.equal(await codeOf(client.ask("cancel")), "Canceled");
    const ended = await app.event(({ event }) => event === "ended");
    assert.equal(ended.context, "context canceled");
  });

  it("gives up its call at the application when the deadline passes", async () => {
    await using client = await startClient();
    assert.equal(await codeOf(client.ask("open 500")), "OK");
    assert.equal(await codeOf(client.ask("wait")), "DeadlineExceeded");
    const begun = await app.event(({ event }) => event === "begun");
    assert.equal(begun.hasDeadline, true);
    const ended = await app.event(({ event }) => event === "ended");
    // By its own clock or by the client's word, whichever comes first.
    assert.match(ended.context ?? "", /^context (?:deadline exceeded|canceled)$/);
  });

  it("sends and receives large messages", async () => {
    await using client = await startClient();
    assert.equal(await codeOf(client.ask(`unary ${4 << 20}`)), "OK");
    assert.equal(await codeOf(client.ask("open")), "OK");
    assert.equal(await codeOf(client.ask(`exchange 4 ${4 << 20}`)), "OK");
    assert.equal(await codeOf(client.ask("finish")), "OK");
  });

  it("may measure with a PING in each of many round trips", async () => {
    await using client = await startClient();
    assert.equal(await codeOf(client.ask("open")), "OK");
    assert.equal(await codeOf(client.ask("exchange 20000 1")), "OK");
  });

  it("waits its turn with an application that takes fewer calls at once than the ingress", async () => {
    await using modest = await startGrpcApp("-streams", "10");
    await using client = await startClient({ "x-aws-proxy-port": String(modest.port) });
    assert.equal(await codeOf(client.ask("streams 500 10")), "OK");
    assert.equal(Math.max(...modest.events.map(({ atOnce = 0 }) => atOnce)), 10);
  });

  it("makes a thousand calls at once, as many side by side as the ingress lets it", async () => {
    await using client = await startClient();
    assert.equal(await codeOf(client.ask("streams 1000 128")), "OK");
    const begun = app.events.filter(({ event }) => event === "begun");
    assert.equal(begun.length, 1000);
    assert.equal(Math.max(...begun.map(({ atOnce = 0 }) => atOnce)), 128);
  });
});
