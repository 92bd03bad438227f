import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { resolveConfiguration } from "../../../src/images/configuration.ts";
import { createManagedImages, DEFAULT_MANAGED_IMAGES } from "../../../src/images/managed.ts";
import type { ImageConfigurationInput } from "../../../src/images/operations.ts";
import type { Hooks } from "../../../src/images/records.ts";
import { managedConnectorArn } from "../../../src/microvms/connectors.ts";
import { BASE_IMAGE_ARN, CPU_TARGET, SCOPE } from "../../fixtures/domain-records.ts";

const INPUT: ImageConfigurationInput = {
  codeArtifactUri: "s3://bucket/dir/app.zip",
  baseImageArn: BASE_IMAGE_ARN,
  buildRoleArn: "arn:aws:iam::000000000000:role/build",
};
const managed = createManagedImages(DEFAULT_MANAGED_IMAGES);
const resolve = (changes: Partial<ImageConfigurationInput> = {}) =>
  resolveConfiguration({ managed, cpuTarget: CPU_TARGET }, SCOPE, { ...INPUT, ...changes });
const refusal = (message: string) => ({ code: "VALIDATION_FAILED", message });

describe("resolveConfiguration", () => {
  test("fills in the service's defaults", () => {
    assert.deepEqual(resolve(), {
      codeArtifactUri: INPUT.codeArtifactUri,
      baseImageArn: BASE_IMAGE_ARN,
      baseImageVersion: "1",
      buildRoleArn: INPUT.buildRoleArn,
      description: null,
      logging: null,
      egressNetworkConnectors: [managedConnectorArn("us-east-1", "INTERNET_EGRESS")],
      cpuConfigurations: null,
      memoryMiB: 2048,
      additionalOsCapabilities: null,
      hooks: null,
      environmentVariables: null,
    });
  });

  test("builds without network when the list of connectors is empty", () => {
    assert.deepEqual(resolve({ egressNetworkConnectors: [] }).egressNetworkConnectors, []);
  });

  test("refuses memory sizes that are none", () => {
    assert.equal(resolve({ memoryMiB: 8192 }).memoryMiB, 8192);
    assert.throws(
      () => resolve({ memoryMiB: 768 }),
      refusal(
        `The requested memory size of 768 MiB is not supported by base MicroVM image ${BASE_IMAGE_ARN}. Supported memory sizes in MiB are: [512, 1024, 2048, 4096, 8192].`,
      ),
    );
  });

  test("refuses the reserved environment variable", () => {
    assert.throws(
      () => resolve({ environmentVariables: { AWS_REGION: "x" } }),
      refusal("Environment variable key 'AWS_REGION' is reserved"),
    );
  });

  test("refuses an artifact that is no S3 object", () => {
    for (const codeArtifactUri of [
      "https://host/app.zip",
      "s3://bucket",
      "s3://bucket/",
      "app.zip",
    ])
      assert.throws(() => resolve({ codeArtifactUri }), { code: "VALIDATION_FAILED" });
  });

  test("wants the ready hook with any runtime hook", () => {
    const ready = { ready: "ENABLED" } as const;
    for (const hook of ["run", "resume", "suspend", "terminate"] as const) {
      const microvmHooks = { [hook]: "ENABLED" } as const;
      assert.throws(() => resolve({ hooks: { microvmHooks } }), {
        code: "VALIDATION_FAILED",
        message:
          /^The ready \(\/ready\) MicroVM image hook must be enabled when any MicroVM lifecycle hook \(run, resume, suspend, or terminate\) is enabled\. /,
      });
      const hooks: Hooks = { port: 9000, microvmHooks, microvmImageHooks: ready };
      assert.deepEqual(resolve({ hooks }).hooks, hooks);
    }
  });

  test("refuses a hook port without a hook", () => {
    assert.throws(() => resolve({ hooks: { port: 9000 } }), { code: "VALIDATION_FAILED" });
    const hooks: Hooks = { port: 9000, microvmImageHooks: { validate: "ENABLED" } };
    assert.deepEqual(resolve({ hooks }).hooks, hooks);
  });

  test("keeps the version of the base image that was asked for", () => {
    assert.equal(resolve({ baseImageVersion: "0" }).baseImageVersion, "0");
    assert.throws(() => resolve({ baseImageVersion: "0.0" }), { code: "VALIDATION_FAILED" });
  });

  test("takes the host's architecture and refuses what it cannot run", () => {
    const cpuConfigurations = [{ architecture: "X86_64" }];
    assert.deepEqual(resolve({ cpuConfigurations }).cpuConfigurations, cpuConfigurations);
    assert.throws(
      () => resolve({ cpuConfigurations: [...cpuConfigurations, { architecture: "ARM_64" }] }),
      refusal(
        "The CPU architecture ARM_64 is not available on this host. Available architectures: [X86_64].",
      ),
    );
  });
});
