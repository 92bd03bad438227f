// gRPC through the ingress to an application that speaks it: gRPC's own interoperability client finds no difference to the
// application itself, and what goes wrong on the way shows as the status that a client expects.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { goTool } from "../../support/go-tools.ts";
import { type GrpcApp, grpcMetadata, startGrpcApp } from "./grpc-peers.ts";
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
