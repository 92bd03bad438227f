import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { z } from "zod";
import * as connectorSchemas from "../../../src/api/connector-schemas.ts";
import * as schemas from "../../../src/api/schemas.ts";
import { parseInput } from "../../../src/api/validation.ts";
import { BASE_ARN, HTTP_INGRESS, IMAGE_ARN, ROLE_ARN } from "./fixtures.ts";

describe("createMicrovmImage", () => {
  it("turns the wire members into the domain's input", () => {
    const input = parseInput(schemas.createMicrovmImage, {
      name: "flask",
      baseImageArn: BASE_ARN,
      baseImageVersion: "1",
      buildRoleArn: ROLE_ARN,
      codeArtifact: { uri: "s3://code/flask.zip" },
      resources: [{ minimumMemoryInMiB: 512 }],
      environmentVariables: { A: "", B: "x y" },
      logging: { cloudWatch: { logGroup: "/aws/x" } },
      hooks: { port: 9000, microvmImageHooks: { ready: "ENABLED" } },
      cpuConfigurations: [{ architecture: "X86_64" }],
      tags: { team: "a b" },
      description: null,
      unheardOf: { x: 1 },
    });
    assert.deepEqual(input, {
      name: "flask",
      baseImageArn: BASE_ARN,
      baseImageVersion: "1",
      buildRoleArn: ROLE_ARN,
      codeArtifactUri: "s3://code/flask.zip",
      memoryMiB: 512,
      environmentVariables: { A: "", B: "x y" },
      logging: { cloudWatch: { logGroup: "/aws/x" } },
      hooks: { port: 9000, microvmImageHooks: { ready: "ENABLED" } },
      cpuConfigurations: [{ architecture: "X86_64" }],
      tags: { team: "a b" },
    });
  });

  it("takes 50 environment variables and refuses 51", () => {
    const variables = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`K${index}`, ""]));
    const image = (count: number) => ({
      name: "flask",
      baseImageArn: BASE_ARN,
      buildRoleArn: ROLE_ARN,
      codeArtifact: { uri: "s3://code/flask.zip" },
      environmentVariables: variables(count),
    });
    assert.doesNotThrow(() => parseInput(schemas.createMicrovmImage, image(50)));
    assert.throws(
      () => parseInput(schemas.createMicrovmImage, image(51)),
      /Value at 'environmentVariables' .*length less than or equal to 50$/,
    );
  });
});

describe("a customer managed key", () => {
  it("is refused rather than ignored", () => {
    const kmsKeyIdentifier = "alias/mine";
    const image = {
      name: "flask",
      baseImageArn: BASE_ARN,
      buildRoleArn: ROLE_ARN,
      codeArtifact: { uri: "s3://code/flask.zip" },
      imageIdentifier: IMAGE_ARN,
    };
    const { createMicrovmImage, updateMicrovmImage, runMicrovm } = schemas;
    for (const schema of [createMicrovmImage, updateMicrovmImage, runMicrovm]) {
      assert.doesNotThrow(() => parseInput<unknown>(schema, { ...image, kmsKeyIdentifier: null }));
      assert.throws(() => parseInput<unknown>(schema, { ...image, kmsKeyIdentifier }), {
        message:
          "1 validation error detected: Value 'alias/mine' at 'kmsKeyIdentifier' failed to satisfy constraint: Member must not be set: this service has no customer managed keys",
      });
    }
  });
});

describe("updateMicrovmImage", () => {
  it("takes what createMicrovmImage takes, with the image for name and tags", () => {
    const raw = {
      imageIdentifier: IMAGE_ARN,
      baseImageArn: BASE_ARN,
      buildRoleArn: ROLE_ARN,
      codeArtifact: { uri: "s3://code/flask.zip" },
      resources: [{ minimumMemoryInMiB: 512 }],
      clientToken: "t",
      name: "ignored",
      tags: { also: "ignored" },
    };
    assert.deepEqual(parseInput(schemas.updateMicrovmImage, raw), {
      imageArn: IMAGE_ARN,
      baseImageArn: BASE_ARN,
      buildRoleArn: ROLE_ARN,
      codeArtifactUri: "s3://code/flask.zip",
      memoryMiB: 512,
      clientToken: "t",
    });
  });

  it("wants the three mandatory members each time", () => {
    assert.throws(
      () => parseInput(schemas.updateMicrovmImage, { imageIdentifier: IMAGE_ARN }),
      /^ServiceError: 3 validation errors detected: .*'baseImageArn'.*'codeArtifact'.*'buildRoleArn'/,
    );
  });
});

describe("runMicrovm", () => {
  it("leaves out what the caller left out", () => {
    assert.deepEqual(parseInput(schemas.runMicrovm, { imageIdentifier: IMAGE_ARN }), {
      imageArn: IMAGE_ARN,
    });
  });

  it("takes everything the service takes", () => {
    const rest = {
      imageVersion: "1.0",
      executionRoleArn: ROLE_ARN,
      ingressNetworkConnectors: [HTTP_INGRESS],
      egressNetworkConnectors: [],
      idlePolicy: {
        maxIdleDurationSeconds: 60,
        suspendedDurationSeconds: 0,
        autoResumeEnabled: false,
      },
      maximumDurationInSeconds: 28800,
      runHookPayload: "",
      logging: { disabled: {} },
      clientToken: "t",
    };
    assert.deepEqual(parseInput(schemas.runMicrovm, { imageIdentifier: IMAGE_ARN, ...rest }), {
      imageArn: IMAGE_ARN,
      ...rest,
    });
  });
});

describe("idle policies", () => {
  it("takes idle times above the longest life", () => {
    const idlePolicy = {
      maxIdleDurationSeconds: 100_000,
      suspendedDurationSeconds: 1_000_000,
      autoResumeEnabled: true,
    };
    const raw = { imageIdentifier: IMAGE_ARN, idlePolicy };
    assert.deepEqual(parseInput(schemas.runMicrovm, raw).idlePolicy, idlePolicy);
  });
});

describe("list inputs", () => {
  it("have a page size of ten unless asked otherwise", () => {
    assert.deepEqual(parseInput(schemas.listMicrovms, {}), { maxResults: 10 });
    assert.deepEqual(parseInput(schemas.listMicrovmImages, { maxResults: "50" }), {
      maxResults: 50,
    });
  });
});

/** Java's String.hashCode, spread as java.util.HashMap does. */
function javaHash(name: string): number {
  let hash = 0;
  for (const char of name) hash = (Math.imul(31, hash) + char.charCodeAt(0)) | 0;
  return hash ^ (hash >>> 16);
}

function hashMapOrder(names: readonly string[]): string[] {
  let buckets = 16;
  while (names.length > buckets * 0.75) buckets *= 2;
  const bucketOf = (name: string) => javaHash(name) & (buckets - 1);
  return [...names].sort((a, b) => bucketOf(a) - bucketOf(b));
}

/** Member names of every structure inside a schema. */
function structuresIn(schema: z.core.$ZodType): string[][] {
  if (schema instanceof z.ZodObject) {
    const shape: Record<string, z.core.$ZodType> = schema.shape;
    return [Object.keys(shape), ...Object.values(shape).flatMap(structuresIn)];
  }
  if (schema instanceof z.ZodPipe) return [...structuresIn(schema.in), ...structuresIn(schema.out)];
  if (schema instanceof z.ZodArray) return structuresIn(schema.element);
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodExactOptional)
    return structuresIn(schema.unwrap());
  return [];
}

describe("member order", () => {
  for (const [name, schema] of Object.entries({ ...schemas, ...connectorSchemas })) {
    if (!(schema instanceof z.ZodType)) continue;
    it(`of ${name} is that of a Java hash map`, () => {
      const structures = structuresIn(schema);
      assert.ok(structures.length > 0);
      for (const members of structures) assert.deepEqual(members, hashMapOrder(members));
    });
  }
});
