import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  createdImageWire,
  deletedImageWire,
  deletedVersionWire,
  imageSummaryWire,
  imageVersionWire,
  imageWire,
  microvmItemWire,
  microvmWire,
  updatedImageWire,
} from "../../../src/api/wire.ts";
import {
  BASE_ARN,
  CREATED_AT,
  ENDPOINT_ID,
  HTTP_INGRESS,
  IMAGE_ARN,
  imageRecord,
  imageVersionRecord,
  INTERNET_EGRESS,
  MICROVM_ID,
  microvmRecord,
  ROLE_ARN,
} from "./fixtures.ts";

const authority = (region: string) => `lambda-microvm.${region}.localhost:7443`;
const CONFIGURATION = {
  additionalOsCapabilities: null,
  baseImageArn: BASE_ARN,
  baseImageVersion: "1.0",
  buildRoleArn: ROLE_ARN,
  codeArtifact: { uri: "s3://code/flask.zip" },
  cpuConfigurations: null,
  description: null,
  egressNetworkConnectors: [INTERNET_EGRESS],
  environmentVariables: null,
  hooks: null,
  logging: null,
  resources: [{ minimumMemoryInMiB: 2048 }],
};

describe("microvmWire", () => {
  it("has every member, nulls included, and never the payload", () => {
    assert.deepEqual(microvmWire(microvmRecord({ state: "PENDING" }), authority), {
      microvmId: MICROVM_ID,
      state: "PENDING",
      endpoint: `${ENDPOINT_ID}.lambda-microvm.us-east-1.localhost:7443`,
      imageArn: IMAGE_ARN,
      imageVersion: "1.0",
      executionRoleArn: null,
      idlePolicy: null,
      maximumDurationInSeconds: 28800,
      startedAt: 1785392130.25,
      terminatedAt: null,
      stateReason: null,
      terminationReasonCode: null,
      ingressNetworkConnectors: [HTTP_INGRESS],
      egressNetworkConnectors: [INTERNET_EGRESS],
    });
  });

  it("gives the end of a terminated microVM", () => {
    const record = microvmRecord({
      state: "TERMINATED",
      stateReason: "Success.",
      terminatedAt: CREATED_AT + 60_001,
      idlePolicy: {
        maxIdleDurationSeconds: 900,
        suspendedDurationSeconds: 1800,
        autoResumeEnabled: true,
      },
    });
    const { terminatedAt, stateReason, idlePolicy } = microvmWire(record, authority);
    assert.equal(terminatedAt, 1785392190.251);
    assert.equal(stateReason, "Success.");
    assert.deepEqual(idlePolicy, record.idlePolicy);
  });
});

describe("microvmItemWire", () => {
  it("has the five members of a list item", () => {
    assert.deepEqual(microvmItemWire(microvmRecord()), {
      microvmId: MICROVM_ID,
      state: "RUNNING",
      imageArn: IMAGE_ARN,
      imageVersion: "1.0",
      startedAt: 1785392130.25,
    });
  });
});

describe("image wire forms", () => {
  const id = imageRecord().imageId;

  it("imageWire has no configuration but tags and the internal id", () => {
    assert.deepEqual(imageWire(imageRecord()), {
      imageArn: IMAGE_ARN,
      name: "flask",
      id,
      state: "CREATED",
      latestActiveImageVersion: "1.0",
      latestFailedImageVersion: null,
      createdAt: 1785392130.25,
      updatedAt: 1785392131.25,
      tags: {},
    });
  });

  it("imageSummaryWire lacks tags and updatedAt", () => {
    assert.deepEqual(Object.keys(imageSummaryWire(imageRecord())).sort(), [
      "createdAt",
      "id",
      "imageArn",
      "latestActiveImageVersion",
      "latestFailedImageVersion",
      "name",
      "state",
    ]);
  });

  it("createdImageWire has the configuration and null tags", () => {
    const image = imageRecord({
      state: "CREATING",
      latestActiveImageVersion: null,
      tags: { team: "a" },
    });
    assert.deepEqual(createdImageWire(image, imageVersionRecord({ state: "PENDING" })), {
      ...CONFIGURATION,
      imageArn: IMAGE_ARN,
      name: "flask",
      id,
      imageVersion: "1.0",
      state: "CREATING",
      latestActiveImageVersion: null,
      latestFailedImageVersion: null,
      createdAt: 1785392130.25,
      updatedAt: 1785392131.25,
      tags: null,
      buildPhaseOverrides: null,
      roleConfiguration: null,
    });
  });

  it("updatedImageWire is the same without tags", () => {
    const image = imageRecord({ state: "UPDATING", tags: { team: "a" } });
    const version = imageVersionRecord({ imageVersion: "2.0" });
    const { tags: _tags, ...rest } = createdImageWire(image, version);
    assert.deepEqual(updatedImageWire(image, version), rest);
    assert.equal(rest.imageVersion, "2.0");
  });

  it("deletedVersionWire names image and version", () => {
    assert.deepEqual(deletedVersionWire(imageVersionRecord({ state: "DELETING" })), {
      imageIdentifier: IMAGE_ARN,
      imageVersion: "1.0",
      state: "DELETING",
    });
  });

  it("imageVersionWire has state, status and the hour bucket", () => {
    assert.deepEqual(imageVersionWire(imageVersionRecord()), {
      ...CONFIGURATION,
      imageArn: IMAGE_ARN,
      imageVersion: "1.0",
      state: "SUCCESSFUL",
      status: "ACTIVE",
      stateReason: null,
      createdAt: 1785392130.25,
      updatedAt: 1785392130.25,
      tags: null,
      versionStateTimeBucket: "SUCCESSFUL#26073006",
    });
  });

  it("imageVersionWire fills nested members with nulls", () => {
    const { configuration } = imageVersionRecord();
    const wire = imageVersionWire(
      imageVersionRecord({
        configuration: {
          ...configuration,
          logging: { cloudWatch: { logGroup: "/aws/x" } },
          hooks: { port: 9000, microvmImageHooks: { ready: "ENABLED" } },
          environmentVariables: { A: "1" },
        },
      }),
    );
    assert.deepEqual(wire.logging, { cloudWatch: { logGroup: "/aws/x", logStream: null } });
    assert.deepEqual(wire.hooks, {
      port: 9000,
      microvmHooks: null,
      microvmImageHooks: {
        ready: "ENABLED",
        readyTimeoutInSeconds: null,
        validate: null,
        validateTimeoutInSeconds: null,
      },
    });
    assert.deepEqual(wire.environmentVariables, { A: "1" });
  });

  it("deletedImageWire names the image by its ARN", () => {
    assert.deepEqual(deletedImageWire(imageRecord({ state: "DELETING" })), {
      imageIdentifier: IMAGE_ARN,
      state: "DELETING",
    });
  });
});
