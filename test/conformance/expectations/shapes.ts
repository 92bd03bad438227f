// The answers of the service as they travel: every member that it was observed to send, unset ones as null.

import {
  beginning,
  epoch,
  type Expected,
  type Matcher,
  matcher,
  matching,
  uuid,
} from "../support/match.ts";

export const REGION = "us-east-1";
export const ACCOUNT = "000000000000";
export const OTHER_ACCOUNT = "111122223333";
export const ROLE = `arn:aws:iam::${ACCOUNT}:role/build`;
export const BASE = `arn:aws:lambda:${REGION}:aws:microvm-image:al2023-1`;
export const FLASK = imageArn("flask");
export const ABSENT = imageArn("absent");
export const NO_MICROVM = "microvm-0f0e0d0c-0b0a-3908-8706-050403020100";

export const HTTP_INGRESS = managedConnector("HTTP_INGRESS");
export const SHELL_INGRESS = managedConnector("SHELL_INGRESS");
export const ALL_INGRESS = managedConnector("ALL_INGRESS");
export const NO_INGRESS = managedConnector("NO_INGRESS");
export const INTERNET_EGRESS = managedConnector("INTERNET_EGRESS");

export function imageArn(name: string, { account = ACCOUNT, region = REGION } = {}): string {
  return `arn:aws:lambda:${region}:${account}:microvm-image:${name}`;
}

export function managedConnector(name: string): string {
  return `arn:aws:lambda:${REGION}:aws:network-connector:aws-network-connector:${name}`;
}

export const CODE = { uri: "s3://code/flask.zip" };
/** The members that every image must have. */
export const REQUIRED = { codeArtifact: CODE, baseImageArn: BASE, buildRoleArn: ROLE };

/** A configuration of which only what is required was given. */
export const DEFAULT_CONFIGURATION = {
  codeArtifact: CODE,
  baseImageArn: BASE,
  baseImageVersion: "1.0",
  buildRoleArn: ROLE,
  description: null,
  logging: null,
  egressNetworkConnectors: [INTERNET_EGRESS],
  cpuConfigurations: null,
  resources: [{ minimumMemoryInMiB: 2048 }],
  additionalOsCapabilities: null,
  hooks: null,
  environmentVariables: null,
};

type Members = Readonly<Record<string, Expected>>;

/** One item of ListMicrovmImages. */
export function imageSummary(changes: Members = {}): Members {
  return {
    imageArn: FLASK,
    name: "flask",
    id: uuid,
    state: "CREATED",
    latestActiveImageVersion: "1.0",
    latestFailedImageVersion: null,
    createdAt: epoch,
    ...changes,
  };
}

/** GetMicrovmImage. */
export function image(changes: Members = {}): Members {
  return { ...imageSummary(), updatedAt: epoch, tags: {}, ...changes };
}

/** CreateMicrovmImage. */
export function createdImage(changes: Members = {}): Members {
  return {
    ...updatedImage(),
    state: "CREATING",
    latestActiveImageVersion: null,
    imageVersion: "1.0",
    tags: null,
    ...changes,
  };
}

/** UpdateMicrovmImage. */
export function updatedImage(changes: Members = {}): Members {
  return {
    ...imageSummary(),
    ...DEFAULT_CONFIGURATION,
    state: "UPDATING",
    imageVersion: "2.0",
    updatedAt: epoch,
    buildPhaseOverrides: null,
    roleConfiguration: null,
    ...changes,
  };
}

/** GetMicrovmImageVersion and one item of ListMicrovmImageVersions. */
export function imageVersion(changes: Members = {}): Members {
  return {
    ...DEFAULT_CONFIGURATION,
    imageArn: FLASK,
    imageVersion: "1.0",
    state: "SUCCESSFUL",
    status: "ACTIVE",
    stateReason: null,
    createdAt: epoch,
    updatedAt: epoch,
    tags: null,
    versionStateTimeBucket: hourOf("SUCCESSFUL"),
    ...changes,
  };
}

/** A state and the hour, in UTC, in which it was reached: this one or the last, as tests run over the turn of an hour too. */
export function hourOf(state: string): Matcher {
  return matcher(`${state} and the hour`, (value) =>
    [0, 1]
      .map((hoursAgo) => new Date(Date.now() - hoursAgo * 3_600_000).toISOString())
      .some((time) => value === `${state}#${time.slice(2, 13).replace(/[-T]/g, "")}`),
  );
}

/** One item of ListMicrovmImageBuilds. */
export function build(changes: Members = {}): Members {
  return {
    imageArn: FLASK,
    imageVersion: "1.0",
    buildId: uuid,
    buildState: "SUCCESSFUL",
    architecture: "X86_64",
    chipset: "GENERIC",
    chipsetGeneration: "1",
    stateReason: null,
    createdAt: epoch,
    terminationReasonCode: null,
    ...changes,
  };
}

/** RunMicrovm and GetMicrovm. */
export function microvm(changes: Members = {}): Members {
  return {
    microvmId: matching(
      /^microvm-[0-9a-f]{8}-[0-9a-f]{4}-3[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    ),
    state: "RUNNING",
    // No name-based one, as the id is: the two have nothing in common.
    endpoint: matching(
      /^[0-9a-f]{8}-[0-9a-f]{4}-(?!3)[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.lambda-microvm\.us-east-1\./,
    ),
    imageArn: FLASK,
    imageVersion: "1.0",
    executionRoleArn: null,
    idlePolicy: null,
    maximumDurationInSeconds: 28800,
    startedAt: epoch,
    terminatedAt: null,
    stateReason: null,
    terminationReasonCode: null,
    ingressNetworkConnectors: [HTTP_INGRESS],
    egressNetworkConnectors: [INTERNET_EGRESS],
    ...changes,
  };
}

/** One item of ListMicrovms. */
export function microvmItem(changes: Members = {}): Members {
  return {
    microvmId: beginning("microvm-"),
    state: "RUNNING",
    imageArn: FLASK,
    imageVersion: "1.0",
    startedAt: epoch,
    ...changes,
  };
}
