// Records and inputs that the API tests share.

import type { BuildRecord, ImageRecord, ImageVersionRecord } from "../../../src/images/records.ts";
import type { MicrovmRecord } from "../../../src/microvms/records.ts";

export const ACCOUNT = "000000000000";
export const REGION = "us-east-1";
export const IMAGE_ARN = `arn:aws:lambda:${REGION}:${ACCOUNT}:microvm-image:flask`;
export const MICROVM_ID = "microvm-0f0e0d0c-0b0a-3908-8706-050403020100";
export const ENDPOINT_ID = "11111111-2222-4333-8444-555555555555";
export const ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/build`;
export const BASE_ARN = `arn:aws:lambda:${REGION}:aws:microvm-image:al2023-1`;

const connector = (name: string) =>
  `arn:aws:lambda:${REGION}:aws:network-connector:aws-network-connector:${name}`;
export const HTTP_INGRESS = connector("HTTP_INGRESS");
export const INTERNET_EGRESS = connector("INTERNET_EGRESS");

/** 2026-07-30T06:15:30.250Z */
export const CREATED_AT = Date.UTC(2026, 6, 30, 6, 15, 30, 250);

export function microvmRecord(changes: Partial<MicrovmRecord> = {}): MicrovmRecord {
  return {
    account: ACCOUNT,
    region: REGION,
    microvmId: MICROVM_ID,
    endpointId: ENDPOINT_ID,
    imageName: "flask",
    imageArn: IMAGE_ARN,
    imageVersion: "1.0",
    state: "RUNNING",
    desired: "RUNNING",
    stateReason: null,
    executionRoleArn: null,
    ingressNetworkConnectors: [HTTP_INGRESS],
    egressNetworkConnectors: [INTERNET_EGRESS],
    idlePolicy: null,
    maximumDurationInSeconds: 28800,
    runHookPayload: "secret payload",
    logging: null,
    startedAt: CREATED_AT,
    suspendedAt: null,
    terminatedAt: null,
    vmmId: "vmm-1",
    ...changes,
  };
}

export function imageRecord(changes: Partial<ImageRecord> = {}): ImageRecord {
  return {
    account: ACCOUNT,
    region: REGION,
    name: "flask",
    imageArn: IMAGE_ARN,
    imageId: "99999999-8888-4777-8666-555555555555",
    state: "CREATED",
    latestActiveImageVersion: "1.0",
    latestFailedImageVersion: null,
    tags: {},
    createdAt: CREATED_AT,
    updatedAt: CREATED_AT + 1000,
    ...changes,
  };
}

export function imageVersionRecord(changes: Partial<ImageVersionRecord> = {}): ImageVersionRecord {
  return {
    account: ACCOUNT,
    region: REGION,
    imageName: "flask",
    imageArn: IMAGE_ARN,
    imageVersion: "1.0",
    configuration: {
      codeArtifactUri: "s3://code/flask.zip",
      baseImageArn: BASE_ARN,
      baseImageVersion: "1",
      buildRoleArn: ROLE_ARN,
      description: null,
      logging: null,
      egressNetworkConnectors: [INTERNET_EGRESS],
      cpuConfigurations: null,
      memoryMiB: 2048,
      additionalOsCapabilities: null,
      hooks: null,
      environmentVariables: null,
    },
    state: "SUCCESSFUL",
    status: "ACTIVE",
    stateReason: null,
    buildId: "build-1",
    cpuTarget: { architecture: "X86_64", chipset: "GENERIC", chipsetGeneration: "1" },
    buildAttempts: 1,
    sizes: null,
    createdAt: CREATED_AT,
    updatedAt: CREATED_AT,
    ...changes,
  };
}

export function buildRecord(changes: Partial<BuildRecord> = {}): BuildRecord {
  const { imageArn, imageVersion, buildId, cpuTarget, stateReason, createdAt } =
    imageVersionRecord();
  return {
    ...{ imageArn, imageVersion, buildId, stateReason, createdAt },
    ...cpuTarget,
    buildState: "SUCCESSFUL",
    sizes: {
      memorySnapshotSizeInBytes: 3000,
      codeInstallSizeInBytes: 2000,
      diskSnapshotSizeInBytes: 1000,
    },
    ...changes,
  };
}
