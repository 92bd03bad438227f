// What the control plane remembers, in the domain's words. Every method is one transaction: on rejection nothing was
// written, on return it is durable. Asynchronous throughout, so that a store may live on another machine.

import type {
  ImageRecord,
  ImageVersionRecord,
  ImageVersionStatus,
  SnapshotSizes,
} from "../images/records.ts";
import type { MicrovmFilter, Page, PageRequest } from "../microvms/operations.ts";
import type { MicrovmRecord, MicrovmSummary, Scope } from "../microvms/records.ts";
import type { MicrovmState } from "../microvms/state.ts";
import type { ConnectorStore } from "./connector-store.ts";

/** Use of a client token: the same token with the same parameters means the same request. */
export interface TokenUse {
  readonly operation:
    | "RunMicrovm"
    | "CreateMicrovmImage"
    | "UpdateMicrovmImage"
    | "CreateNetworkConnector"
    | "UpdateNetworkConnector";
  readonly token: string;
  readonly parametersHash: string;
}

/** Members of a record that steps and intents may change. */
export type MicrovmPatch = Partial<
  Pick<
    MicrovmRecord,
    "desired" | "stateReason" | "runHookPayload" | "suspendedAt" | "terminatedAt" | "vmmId"
  >
>;

export interface MicrovmMove {
  readonly to: MicrovmState;
  /** The `vmmId` the record must have, null for none; absent: any. */
  readonly fence?: string | null;
  readonly patch?: MicrovmPatch;
}

/** How much memory an account may have in a region, and what counts. */
export interface MemoryQuota {
  readonly limitMiB: number;
  /** Whether the VMs of builds that run count beside microVMs; they are never refused themselves. */
  readonly countsBuilds: boolean;
  /** With how much of its image's size class each counts: the baseline, or the peak that the guest sees. */
  readonly counts: "baseline" | "peak";
}

export interface MicrovmStore {
  /**
   * Records a new microVM, or returns the one that the same token made before. Rejects NOT_FOUND when its image version is
   * not there to run any more, CONFLICT when the token was used with other parameters, QUOTA_EXCEEDED when with it the
   * memory of what is not TERMINATED in its account and region would be over the limit of `quota`.
   */
  create(
    record: MicrovmRecord,
    token: TokenUse | null,
    quota?: MemoryQuota,
  ): Promise<MicrovmRecord>;
  /** What the token made before, if anything. Rejects CONFLICT when it was used with other parameters. */
  findByToken(scope: Scope, token: TokenUse): Promise<MicrovmRecord | undefined>;
  get(microvmId: string): Promise<MicrovmRecord | undefined>;
  findByEndpoint(endpointId: string): Promise<MicrovmRecord | undefined>;
  /** Newest first. Rejects VALIDATION_FAILED for a page key that is none. */
  list(scope: Scope, filter: MicrovmFilter, page: PageRequest): Promise<Page<MicrovmSummary>>;
  /** Every microVM that is not TERMINATED, of all accounts and regions, oldest first. */
  listLive(): Promise<MicrovmRecord[]>;
  /** Moves a microVM to another state. Rejects CONFLICT when TRANSITIONS or the fence forbid it, NOT_FOUND. */
  transition(microvmId: string, move: MicrovmMove): Promise<MicrovmRecord>;
  /**
   * Changes members other than the state. `change` is pure; it returns null to leave the record and may throw. Neither this
   * nor a transition changes a `desired` that is TERMINATED.
   */
  amend(
    microvmId: string,
    change: (record: MicrovmRecord) => MicrovmPatch | null,
  ): Promise<MicrovmRecord>;
  /** Forgets up to `limit` microVMs terminated before `before` (epoch ms), with their tokens; returns how many. */
  purgeTerminated(before: number, limit: number): Promise<number>;
}

export interface ImageWithVersion {
  readonly image: ImageRecord;
  readonly version: ImageVersionRecord;
}

export type BuildOutcome =
  | { readonly succeeded: true; readonly sizes: SnapshotSizes }
  | { readonly succeeded: false; readonly reason: string; readonly sizes?: SnapshotSizes };

/** Most of what an account may have in a region; what is left out has no limit. */
export interface ImageLimits {
  readonly images?: number;
  readonly versionsPerImage?: number;
  /** Versions that are PENDING or IN_PROGRESS. */
  readonly concurrentBuilds?: number;
}

/** A version whose number the store gives. */
export type NewImageVersion = Omit<ImageVersionRecord, "imageVersion">;

export interface ImageStore {
  /**
   * Records an image and its first version. Rejects VALIDATION_FAILED for a name in use, QUOTA_EXCEEDED at
   * `limits`, CONFLICT as `MicrovmStore.create`.
   */
  create(
    created: ImageWithVersion,
    token: TokenUse | null,
    limits?: ImageLimits,
  ): Promise<ImageWithVersion>;
  /**
   * Records a version with the next number; its image becomes UPDATING. Numbers of versions that are gone do not come back.
   * Rejects NOT_FOUND, VALIDATION_FAILED unless the image is at rest, QUOTA_EXCEEDED at `limits`, CONFLICT
   * as `MicrovmStore.create`.
   */
  update(
    version: NewImageVersion,
    token: TokenUse | null,
    limits?: ImageLimits,
  ): Promise<ImageWithVersion>;
  /** What the token made before, if it still exists. Rejects CONFLICT when it was used with other parameters. */
  findByToken(scope: Scope, token: TokenUse): Promise<ImageWithVersion | undefined>;
  get(scope: Scope, name: string): Promise<ImageRecord | undefined>;
  getVersion(
    scope: Scope,
    name: string,
    imageVersion: string,
  ): Promise<ImageVersionRecord | undefined>;
  /** All of them, oldest first. */
  listVersions(scope: Scope, name: string): Promise<ImageVersionRecord[]>;
  /** Newest first. Rejects VALIDATION_FAILED for a page key that is none. */
  pageVersions(scope: Scope, name: string, page: PageRequest): Promise<Page<ImageVersionRecord>>;
  /** The version, or the latest when none is named, if it can be run: SUCCESSFUL and ACTIVE, its image not being deleted. */
  findActiveVersion(
    scope: Scope,
    name: string,
    imageVersion?: string,
  ): Promise<ImageVersionRecord | undefined>;
  /** By name. */
  list(scope: Scope, page: PageRequest): Promise<Page<ImageRecord>>;
  /** Replaces an image's tags by what `change`, which is pure and may throw, makes of them. Rejects NOT_FOUND. */
  changeTags(
    scope: Scope,
    name: string,
    change: (tags: ImageRecord["tags"]) => ImageRecord["tags"],
  ): Promise<ImageRecord>;
  /** Versions PENDING or IN_PROGRESS, oldest first. */
  listUnfinishedBuilds(): Promise<ImageVersionRecord[]>;
  /** PENDING → IN_PROGRESS, one more attempt. Rejects CONFLICT in any other state. */
  startBuild(buildId: string, at: number): Promise<ImageVersionRecord>;
  /** IN_PROGRESS → PENDING. An interrupted attempt counts unless `isForgiven`. */
  requeueBuild(buildId: string, at: number, isForgiven: boolean): Promise<ImageVersionRecord>;
  /** Ends a build: the version becomes SUCCESSFUL and ACTIVE or FAILED, its image follows. Rejects CONFLICT when it had ended. */
  finishBuild(buildId: string, outcome: BuildOutcome, at: number): Promise<ImageWithVersion>;
  /**
   * Lets a version be run or not; the image's latest active version follows. Rejects NOT_FOUND, CONFLICT unless the image
   * is at rest, VALIDATION_FAILED for a version that was not built.
   */
  setVersionStatus(
    scope: Scope,
    name: string,
    imageVersion: string,
    status: ImageVersionStatus,
    at: number,
  ): Promise<ImageVersionRecord>;
  /**
   * Version → DELETING, its image → UPDATING until the version is removed; a version that is DELETING stays so. Rejects
   * NOT_FOUND, CONFLICT unless the image is at rest, VALIDATION_FAILED for the only version and for one with microVMs that
   * are not TERMINATED.
   */
  beginDeleteVersion(
    scope: Scope,
    name: string,
    imageVersion: string,
    at: number,
  ): Promise<ImageVersionRecord>;
  /** Version DELETING → DELETE_FAILED; its image is at rest again. */
  failDeleteVersion(buildId: string, at: number): Promise<void>;
  /** Forgets a DELETING version and its token; its image is at rest again. Safe to call twice. */
  removeVersion(buildId: string, at: number): Promise<void>;
  /** Versions in DELETING, of all accounts and regions. */
  listDeletingVersions(): Promise<ImageVersionRecord[]>;
  /**
   * → DELETING; an image that is DELETING stays so. Rejects NOT_FOUND, and VALIDATION_FAILED while it is built, while a
   * version of it is deleted, or when it has microVMs that are not TERMINATED.
   */
  beginDelete(scope: Scope, name: string, at: number): Promise<ImageRecord>;
  /** DELETING → DELETE_FAILED. */
  failDelete(scope: Scope, name: string, at: number): Promise<ImageRecord>;
  /** Forgets a DELETING image, its versions and tokens. Safe to call twice. */
  remove(scope: Scope, name: string): Promise<void>;
  /** Images in DELETING, of all accounts and regions. */
  listDeleting(): Promise<ImageRecord[]>;
}

export interface Store extends AsyncDisposable {
  readonly microvms: MicrovmStore;
  readonly images: ImageStore;
  readonly connectors: ConnectorStore;
}
