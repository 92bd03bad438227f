// Records as the service's JSON: every member present, unset ones null, times in epoch seconds. Shapes come from the
// SDK's own types; members that the service sends although its model lacks them are added here.

import type {
  CodeArtifact as SdkCodeArtifact,
  CreateMicrovmAuthTokenResponse,
  CreateMicrovmImageResponse,
  DeleteMicrovmImageOutput,
  DeleteMicrovmImageVersionOutput,
  GetMicrovmImageOutput,
  GetMicrovmImageVersionOutput,
  GetMicrovmResponse,
  Logging as SdkLogging,
  MicrovmImageSummary,
  MicrovmItem,
  UpdateMicrovmImageResponse,
} from "@aws-sdk/client-lambda-microvms";
import type {
  Hooks,
  ImageConfiguration,
  ImageRecord,
  ImageVersionRecord,
} from "../images/records.ts";
import type { Logging, MicrovmRecord, MicrovmSummary } from "../microvms/records.ts";

/** An SDK shape as it travels: nothing left out, dates as epoch seconds, unions with their one member. */
export type Wire<T> = T extends Date
  ? number
  : T extends SdkCodeArtifact
    ? { uri: string }
    : T extends SdkLogging
      ? WireLogging
      : T extends readonly (infer Item)[]
        ? readonly Wire<Item>[]
        : T extends object
          ? { readonly [K in keyof T]-?: Wire<Exclude<T[K], undefined>> | null }
          : T extends "ARM_64" | "GRAVITON"
            ? string
            : T;

type WireLogging =
  | { readonly disabled: Record<string, never> }
  | {
      readonly cloudWatch: { readonly logGroup: string | null; readonly logStream: string | null };
    };

/** `{label}.` is put before the authority of the record's region. */
export type IngressAuthority = (region: string) => string;

type MicrovmWire = Wire<GetMicrovmResponse> & { readonly terminationReasonCode: null };

/** RunMicrovm and GetMicrovm. */
export function microvmWire(record: MicrovmRecord, authority: IngressAuthority): MicrovmWire {
  return {
    microvmId: record.microvmId,
    state: record.state,
    endpoint: `${record.endpointId}.${authority(record.region)}`,
    imageArn: record.imageArn,
    imageVersion: record.imageVersion,
    executionRoleArn: record.executionRoleArn,
    idlePolicy: record.idlePolicy,
    maximumDurationInSeconds: record.maximumDurationInSeconds,
    startedAt: seconds(record.startedAt),
    terminatedAt: secondsOrNull(record.terminatedAt),
    stateReason: record.stateReason,
    terminationReasonCode: null,
    ingressNetworkConnectors: record.ingressNetworkConnectors,
    egressNetworkConnectors: record.egressNetworkConnectors,
  };
}

/** One item of ListMicrovms. */
export function microvmItemWire(record: MicrovmSummary): Wire<MicrovmItem> {
  return {
    microvmId: record.microvmId,
    state: record.state,
    imageArn: record.imageArn,
    imageVersion: record.imageVersion,
    startedAt: seconds(record.startedAt),
  };
}

type ImageSummaryWire = Wire<MicrovmImageSummary> & { readonly id: string };

/** One item of ListMicrovmImages. */
export function imageSummaryWire(record: ImageRecord): ImageSummaryWire {
  return {
    imageArn: record.imageArn,
    name: record.name,
    id: record.imageId,
    state: record.state,
    latestActiveImageVersion: record.latestActiveImageVersion,
    latestFailedImageVersion: record.latestFailedImageVersion,
    createdAt: seconds(record.createdAt),
  };
}

/** GetMicrovmImage. */
export function imageWire(
  record: ImageRecord,
): Wire<GetMicrovmImageOutput> & { readonly id: string } {
  return {
    ...imageSummaryWire(record),
    updatedAt: seconds(record.updatedAt),
    tags: record.tags,
  };
}

/** What the service sends beside its model. */
interface UnmodelledImageMembers {
  readonly id: string;
  readonly buildPhaseOverrides: null;
  readonly roleConfiguration: null;
}

type UpdatedImageWire = Wire<UpdateMicrovmImageResponse> & UnmodelledImageMembers;

/** UpdateMicrovmImage. */
export function updatedImageWire(
  image: ImageRecord,
  version: ImageVersionRecord,
): UpdatedImageWire {
  return {
    ...imageSummaryWire(image),
    ...configurationWire(version.configuration),
    imageVersion: version.imageVersion,
    updatedAt: seconds(image.updatedAt),
    buildPhaseOverrides: null,
    roleConfiguration: null,
  };
}

/** CreateMicrovmImage. The service echoes no tags here. */
export function createdImageWire(
  image: ImageRecord,
  version: ImageVersionRecord,
): Wire<CreateMicrovmImageResponse> & UnmodelledImageMembers {
  return { ...updatedImageWire(image, version), tags: null };
}

type ImageVersionWire = Wire<GetMicrovmImageVersionOutput> & {
  readonly versionStateTimeBucket: string;
};

/** GetMicrovmImageVersion. */
export function imageVersionWire(record: ImageVersionRecord): ImageVersionWire {
  return {
    ...configurationWire(record.configuration),
    imageArn: record.imageArn,
    imageVersion: record.imageVersion,
    state: record.state,
    status: record.status,
    // The service says why a build failed with the build alone.
    stateReason: null,
    createdAt: seconds(record.createdAt),
    updatedAt: seconds(record.updatedAt),
    tags: null,
    versionStateTimeBucket: `${record.state}#${hourBucket(record.updatedAt)}`,
  };
}

/** DeleteMicrovmImage. */
export function deletedImageWire(record: ImageRecord): Wire<DeleteMicrovmImageOutput> {
  return { imageIdentifier: record.imageArn, state: record.state };
}

/** DeleteMicrovmImageVersion. */
export function deletedVersionWire(
  record: ImageVersionRecord,
): Wire<DeleteMicrovmImageVersionOutput> {
  const { imageArn, imageVersion, state } = record;
  return { imageIdentifier: imageArn, imageVersion, state };
}

/** CreateMicrovmAuthToken: the token under the name of the header that carries it. */
export function authTokenWire(token: string): Wire<CreateMicrovmAuthTokenResponse> {
  return { authToken: { "X-aws-proxy-auth": token } };
}

type ConfigurationWire = Pick<
  Wire<GetMicrovmImageVersionOutput>,
  | "codeArtifact"
  | "baseImageArn"
  | "baseImageVersion"
  | "buildRoleArn"
  | "description"
  | "logging"
  | "egressNetworkConnectors"
  | "cpuConfigurations"
  | "resources"
  | "additionalOsCapabilities"
  | "hooks"
  | "environmentVariables"
>;

function configurationWire(configuration: ImageConfiguration): ConfigurationWire {
  return {
    codeArtifact: { uri: configuration.codeArtifactUri },
    baseImageArn: configuration.baseImageArn,
    baseImageVersion: baseVersionWire(configuration.baseImageVersion),
    buildRoleArn: configuration.buildRoleArn,
    description: configuration.description,
    logging: loggingWire(configuration.logging),
    egressNetworkConnectors: configuration.egressNetworkConnectors,
    cpuConfigurations: configuration.cpuConfigurations,
    resources: [{ minimumMemoryInMiB: configuration.memoryMiB }],
    additionalOsCapabilities: configuration.additionalOsCapabilities,
    hooks: hooksWire(configuration.hooks),
    environmentVariables: configuration.environmentVariables,
  };
}

/** A base version is listed as `1` but echoed on images as `1.0`. */
function baseVersionWire(version: string | null): string | null {
  return version !== null && /^\d+$/.test(version) ? `${version}.0` : version;
}

function loggingWire(logging: Logging | null): WireLogging | null {
  if (logging === null || "disabled" in logging) return logging;
  const { logGroup = null, logStream = null } = logging.cloudWatch;
  return { cloudWatch: { logGroup, logStream } };
}

function hooksWire(hooks: Hooks | null): ConfigurationWire["hooks"] {
  if (hooks === null) return null;
  const { port = null, microvmHooks, microvmImageHooks } = hooks;
  return {
    port,
    microvmHooks: microvmHooks
      ? {
          run: null,
          runTimeoutInSeconds: null,
          resume: null,
          resumeTimeoutInSeconds: null,
          suspend: null,
          suspendTimeoutInSeconds: null,
          terminate: null,
          terminateTimeoutInSeconds: null,
          ...microvmHooks,
        }
      : null,
    microvmImageHooks: microvmImageHooks
      ? {
          ready: null,
          readyTimeoutInSeconds: null,
          validate: null,
          validateTimeoutInSeconds: null,
          ...microvmImageHooks,
        }
      : null,
  };
}

/** Epoch milliseconds as the wire has them. */
export function seconds(epochMs: number): number {
  return epochMs / 1000;
}

function secondsOrNull(epochMs: number | null): number | null {
  return epochMs === null ? null : seconds(epochMs);
}

/** `YYMMDDHH` in UTC. */
function hourBucket(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(2, 13).replace(/[-T]/g, "");
}
