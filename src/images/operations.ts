// What callers may ask of images. Creating one records a version and starts its build; the build reports back here.

import type { Page, PageRequest } from "../microvms/operations.ts";
import type { Scope } from "../microvms/records.ts";
import type { Hooks, ImageRecord, ImageVersionRecord } from "./records.ts";
import type { Logging } from "../microvms/records.ts";

export interface CreateImageInput {
  readonly name: string;
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
  readonly tags?: Readonly<Record<string, string>>;
  readonly clientToken?: string;
}

/** Errors are ServiceErrors whose messages are the service's own (spec: section 2.3). */
export interface ImageOperations {
  create(
    scope: Scope,
    input: CreateImageInput,
  ): Promise<{ image: ImageRecord; version: ImageVersionRecord }>;
  get(scope: Scope, imageArn: string): Promise<ImageRecord>;
  getVersion(scope: Scope, imageArn: string, imageVersion: string): Promise<ImageVersionRecord>;
  list(scope: Scope, page: PageRequest, nameFilter?: string): Promise<Page<ImageRecord>>;
  delete(scope: Scope, imageArn: string): Promise<ImageRecord>;
}
