// The operations on images: they check, record and hand over to the builds.

import { randomUUID } from "node:crypto";
import { ServiceError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import { checkConnector, managedConnectorArn } from "../microvms/connectors.ts";
import type { Scope } from "../microvms/records.ts";
import { tokenUseOf } from "../store/client-token.ts";
import type { ImageStore, ImageWithVersion } from "../store/store.ts";
import {
  canonicalVersion,
  checkBaseImage,
  type ImageAction,
  imageArnOf,
  MANAGED_IMAGE_VERSION,
  parseImageArn,
} from "./arn.ts";
import type { CreateImageInput, ImageOperations } from "./operations.ts";
import type { Hooks, ImageConfiguration, ImageRecord } from "./records.ts";
import { DEFAULT_BASELINE_MIB, SIZE_CLASSES, sizeClassOf } from "./size-class.ts";

export interface ImageOperationsDeps {
  readonly images: ImageStore;
  readonly clock: Clock;
  /** A version to build was recorded. */
  readonly onBuildWanted: () => void;
  /** An image to remove was recorded. */
  readonly onDeleteWanted: (image: ImageRecord) => void;
}

/** The operations over a store. */
export function createImageOperations(deps: ImageOperationsDeps): ImageOperations {
  const { images, clock } = deps;
  const existing = async (scope: Scope, imageArn: string, action: ImageAction) => {
    const { name } = parseImageArn(scope, imageArn, action);
    return (await images.get(scope, name)) ?? noImage(imageArn);
  };
  return {
    async create(scope, input) {
      const token = tokenUseOf("CreateMicrovmImage", input);
      const original = token && (await images.findByToken(scope, token));
      if (original) return original;
      const configuration = resolveConfiguration(scope, input);
      const created = await images.create(
        newImage(scope, input, configuration, clock.now()),
        token,
      );
      deps.onBuildWanted();
      return created;
    },
    get: (scope, imageArn) => existing(scope, imageArn, "GetMicrovmImage"),
    async getVersion(scope, imageArn, imageVersion) {
      const { name } = await existing(scope, imageArn, "GetMicrovmImageVersion");
      const version = await images.getVersion(scope, name, canonicalVersion(imageVersion));
      if (version !== undefined) return version;
      throw new ServiceError(
        "NOT_FOUND",
        `MicroVMImage not found for MicroVMImage: ${imageArn}, Version: ${imageVersion}`,
      );
    },
    async list(scope, page, nameFilter) {
      const { items, next } = await images.list(scope, page);
      // The service filters a page after it was cut, so a page may be empty and yet have a next one.
      return { items: items.filter(({ name }) => name.includes(nameFilter ?? "")), next };
    },
    async delete(scope, imageArn) {
      const { name } = await existing(scope, imageArn, "DeleteMicrovmImage");
      const image = await images.beginDelete(scope, name, clock.now());
      deps.onDeleteWanted(image);
      return image;
    },
  };
}

function noImage(imageArn: string): never {
  throw new ServiceError("NOT_FOUND", `MicroVMImage not found for MicroVMImageID: ${imageArn}`);
}

function newImage(
  scope: Scope,
  { name, tags }: CreateImageInput,
  configuration: ImageConfiguration,
  now: number,
): ImageWithVersion {
  const imageArn = imageArnOf(scope, name);
  const times = { createdAt: now, updatedAt: now };
  return {
    image: {
      ...scope,
      ...times,
      name,
      imageArn,
      imageId: randomUUID(),
      state: "CREATING",
      latestActiveImageVersion: null,
      latestFailedImageVersion: null,
      tags: tags ?? {},
    },
    version: {
      ...scope,
      ...times,
      imageName: name,
      imageArn,
      imageVersion: "1.0",
      configuration,
      state: "PENDING",
      status: "INACTIVE",
      stateReason: null,
      buildId: randomUUID(),
      buildAttempts: 0,
      sizes: null,
    },
  };
}

/** The input with its defaults. Throws VALIDATION_FAILED or NOT_FOUND in the service's words. */
export function resolveConfiguration(scope: Scope, input: CreateImageInput): ImageConfiguration {
  checkBaseImage(scope, input.baseImageArn, input.baseImageVersion);
  checkArtifactUri(input.codeArtifactUri);
  checkEnvironment(input.environmentVariables);
  checkHooks(input.hooks);
  const connectors = input.egressNetworkConnectors;
  for (const arn of connectors ?? []) checkConnector(scope.region, "egress", arn);
  return {
    codeArtifactUri: input.codeArtifactUri,
    baseImageArn: input.baseImageArn,
    baseImageVersion: MANAGED_IMAGE_VERSION,
    buildRoleArn: input.buildRoleArn,
    description: input.description ?? null,
    logging: input.logging ?? null,
    egressNetworkConnectors: connectors ?? [managedConnectorArn(scope.region, "INTERNET_EGRESS")],
    cpuConfigurations: input.cpuConfigurations ?? null,
    memoryMiB: resolveMemory(input),
    additionalOsCapabilities: input.additionalOsCapabilities ?? null,
    hooks: input.hooks ?? null,
    environmentVariables: input.environmentVariables ?? null,
  };
}

function resolveMemory({ memoryMiB = DEFAULT_BASELINE_MIB, baseImageArn }: CreateImageInput) {
  if (sizeClassOf(memoryMiB) !== undefined) return memoryMiB;
  const offered = SIZE_CLASSES.map(({ baselineMiB }) => baselineMiB).join(", ");
  throw new ServiceError(
    "VALIDATION_FAILED",
    `The requested memory size of ${memoryMiB} MiB is not supported by base MicroVM image ${baseImageArn}. Supported memory sizes in MiB are: [${offered}].`,
  );
}

function checkArtifactUri(uri: string): void {
  if (/^s3:\/\/[^/]+\/.+$/.test(uri)) return;
  throw new ServiceError("VALIDATION_FAILED", `Code artifact is not an S3 object URI: ${uri}`);
}

function checkEnvironment(variables: CreateImageInput["environmentVariables"]): void {
  if (variables === undefined || !("AWS_REGION" in variables)) return;
  throw new ServiceError("VALIDATION_FAILED", "Environment variable key 'AWS_REGION' is reserved");
}

function checkHooks(hooks: Hooks | undefined): void {
  const { run, resume, suspend, terminate } = hooks?.microvmHooks ?? {};
  const { ready, validate } = hooks?.microvmImageHooks ?? {};
  const hasRuntimeHook = [run, resume, suspend, terminate].includes("ENABLED");
  if (hasRuntimeHook && ready !== "ENABLED") {
    throw new ServiceError(
      "VALIDATION_FAILED",
      "The ready (/ready) MicroVM image hook must be enabled when any MicroVM lifecycle hook (run, resume, suspend, or terminate) is enabled. " +
        "Its answer tells that the application has initialized, so that the snapshot is taken in a ready state.",
    );
  }
  const hasAnyHook = hasRuntimeHook || [ready, validate].includes("ENABLED");
  if (hooks?.port !== undefined && !hasAnyHook) {
    throw new ServiceError(
      "VALIDATION_FAILED",
      "A hook port can only be set when at least one hook is enabled.",
    );
  }
}
