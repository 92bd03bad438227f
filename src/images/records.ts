// What the control plane stores about images, their versions and their builds. Times are epoch milliseconds.

import type { Logging, Scope } from "../microvms/records.ts";

export type ImageState =
  | "CREATING"
  | "CREATED"
  | "CREATE_FAILED"
  | "UPDATING"
  | "UPDATED"
  | "UPDATE_FAILED"
  | "DELETING"
  | "DELETE_FAILED"
  | "DELETED";

export type ImageVersionState =
  "PENDING" | "IN_PROGRESS" | "SUCCESSFUL" | "FAILED" | "DELETING" | "DELETED" | "DELETE_FAILED";

export type ImageVersionStatus = "ACTIVE" | "INACTIVE";
export type HookState = "ENABLED" | "DISABLED";

export interface MicrovmHooks {
  readonly run?: HookState;
  readonly runTimeoutInSeconds?: number;
  readonly resume?: HookState;
  readonly resumeTimeoutInSeconds?: number;
  readonly suspend?: HookState;
  readonly suspendTimeoutInSeconds?: number;
  readonly terminate?: HookState;
  readonly terminateTimeoutInSeconds?: number;
}

export interface MicrovmImageHooks {
  readonly ready?: HookState;
  readonly readyTimeoutInSeconds?: number;
  readonly validate?: HookState;
  readonly validateTimeoutInSeconds?: number;
}

export interface Hooks {
  readonly port?: number;
  readonly microvmHooks?: MicrovmHooks;
  readonly microvmImageHooks?: MicrovmImageHooks;
}

export interface ImageRecord extends Scope {
  readonly name: string;
  readonly imageArn: string;
  /** Internal uuid, echoed as the unmodelled member `id`. */
  readonly imageId: string;
  readonly state: ImageState;
  readonly latestActiveImageVersion: string | null;
  readonly latestFailedImageVersion: string | null;
  readonly tags: Readonly<Record<string, string>>;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Everything a build is made from; stored with the version exactly as resolved when it was accepted. */
export interface ImageConfiguration {
  /** `s3://bucket/key` of the zip. */
  readonly codeArtifactUri: string;
  readonly baseImageArn: string;
  readonly baseImageVersion: string | null;
  readonly buildRoleArn: string;
  readonly description: string | null;
  readonly logging: Logging | null;
  readonly egressNetworkConnectors: readonly string[];
  readonly cpuConfigurations: readonly { readonly architecture: string }[] | null;
  readonly memoryMiB: number;
  readonly additionalOsCapabilities: readonly "ALL"[] | null;
  readonly hooks: Hooks | null;
  /** Sensitive: never logged. */
  readonly environmentVariables: Readonly<Record<string, string>> | null;
}

/** A kind of processor that versions are built for, in the service's terms. */
export interface CpuTarget {
  readonly architecture: "ARM_64" | "X86_64";
  readonly chipset: string;
  readonly chipsetGeneration: string;
}

export interface ImageVersionRecord extends Scope {
  readonly imageName: string;
  readonly imageArn: string;
  /** Decimal `N.0`. */
  readonly imageVersion: string;
  readonly configuration: ImageConfiguration;
  readonly state: ImageVersionState;
  readonly status: ImageVersionStatus;
  /** Why the build failed; null otherwise. */
  readonly stateReason: string | null;
  readonly buildId: string;
  readonly cpuTarget: CpuTarget;
  /** How often the build was started; more than once when the service ended during it. */
  readonly buildAttempts: number;
  readonly sizes: SnapshotSizes | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Bytes on disk of a version, as GetMicrovmImageBuild reports them; null for what its build did not get to. */
export interface SnapshotSizes {
  readonly memorySnapshotSizeInBytes: number | null;
  readonly codeInstallSizeInBytes: number;
  readonly diskSnapshotSizeInBytes: number | null;
}

export type BuildState = "PENDING" | "IN_PROGRESS" | "SUCCESSFUL" | "FAILED";

/** The build of a version for one CPU target. */
export interface BuildRecord extends CpuTarget {
  readonly imageArn: string;
  readonly imageVersion: string;
  readonly buildId: string;
  readonly buildState: BuildState;
  readonly stateReason: string | null;
  readonly sizes: SnapshotSizes | null;
  readonly createdAt: number;
}
