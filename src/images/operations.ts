// What callers may ask of images. What makes a version records it and starts its build; the build reports back here.

import type { Page, PageRequest } from "../microvms/operations.ts";
import type { Logging, Scope } from "../microvms/records.ts";
import type { ManagedImage, ManagedImageVersion } from "./managed.ts";
import type {
  BuildRecord,
  CpuTarget,
  Hooks,
  ImageRecord,
  ImageVersionRecord,
  ImageVersionStatus,
} from "./records.ts";
import type { Tags } from "./tags.ts";

export interface ImageConfigurationInput {
  readonly codeArtifactUri: string;
  readonly baseImageArn: string;
  readonly baseImageVersion?: string;
  readonly buildRoleArn: string;
  readonly description?: string;
  readonly logging?: Logging;
  readonly egressNetworkConnectors?: readonly string[];
  readonly cpuConfigurations?: readonly { readonly architecture: string }[];
  readonly memoryMiB?: number;
  readonly additionalOsCapabilities?: readonly "ALL"[];
  readonly hooks?: Hooks;
  readonly environmentVariables?: Readonly<Record<string, string>>;
}

export interface CreateImageInput extends ImageConfigurationInput {
  readonly name: string;
  readonly tags?: Tags;
  readonly clientToken?: string;
}

/** Replaces the whole configuration: what is left out gets its default, not what the version before had. */
export interface UpdateImageInput extends ImageConfigurationInput {
  readonly imageArn: string;
  readonly clientToken?: string;
}

export type BuildFilter = Partial<CpuTarget>;

/** A version that was accepted, and its image. */
export interface AcceptedVersion {
  readonly image: ImageRecord;
  readonly version: ImageVersionRecord;
}

/** Errors are ServiceErrors whose messages are the service's own. */
export interface ImageOperations {
  create(scope: Scope, input: CreateImageInput): Promise<AcceptedVersion>;
  update(scope: Scope, input: UpdateImageInput): Promise<AcceptedVersion>;
  get(scope: Scope, imageArn: string): Promise<ImageRecord>;
  list(scope: Scope, page: PageRequest, nameFilter?: string): Promise<Page<ImageRecord>>;
  delete(scope: Scope, imageArn: string): Promise<ImageRecord>;

  getVersion(scope: Scope, imageArn: string, imageVersion: string): Promise<ImageVersionRecord>;
  /** Newest first. */
  listVersions(
    scope: Scope,
    imageArn: string,
    page: PageRequest,
  ): Promise<Page<ImageVersionRecord>>;
  setVersionStatus(
    scope: Scope,
    imageArn: string,
    imageVersion: string,
    status: ImageVersionStatus,
  ): Promise<ImageVersionRecord>;
  deleteVersion(scope: Scope, imageArn: string, imageVersion: string): Promise<ImageVersionRecord>;

  getBuild(
    scope: Scope,
    imageArn: string,
    imageVersion: string,
    buildId: string,
  ): Promise<BuildRecord>;
  /** One for each CPU target. */
  listBuilds(
    scope: Scope,
    imageArn: string,
    imageVersion: string,
    filter: BuildFilter,
    page: PageRequest,
  ): Promise<Page<BuildRecord>>;

  listManaged(scope: Scope, page: PageRequest): Promise<Page<ManagedImage>>;
  /** Newest first. */
  listManagedVersions(
    scope: Scope,
    imageArn: string,
    page: PageRequest,
  ): Promise<Page<ManagedImageVersion>>;

  getTags(scope: Scope, imageArn: string): Promise<Tags>;
  /** Adds tags; one with the key of another replaces it. */
  tag(scope: Scope, imageArn: string, tags: Tags): Promise<void>;
  /** Removes the tags with these keys, whether they are there or not. */
  untag(scope: Scope, imageArn: string, keys: readonly string[]): Promise<void>;
}
