// The operations on images: they check, record and hand over to the builds.

import { randomUUID } from "node:crypto";
import type { Clock } from "../lib/clock.ts";
import { checkConnectors } from "../microvms/connectors.ts";
import type { Scope } from "../microvms/records.ts";
import { tokenUseOf } from "../store/client-token.ts";
import type { ConnectorStore } from "../store/connector-store.ts";
import type { ImageLimits, ImageStore, NewImageVersion } from "../store/store.ts";
import { type ImageAction, imageArnOf, noImage, parseImageArn } from "./arn.ts";
import { resolveConfiguration } from "./configuration.ts";
import type { ManagedImages } from "./managed.ts";
import type { ImageConfigurationInput, ImageOperations } from "./operations.ts";
import { pageOf } from "./page.ts";
import type { CpuTarget, ImageRecord, ImageVersionRecord } from "./records.ts";
import { checkTags, mergeTags, withoutTags } from "./tags.ts";
import { createVersionOperations } from "./version-operations.ts";

export interface ImageOperationsDeps {
  readonly images: ImageStore;
  readonly connectors: Pick<ConnectorStore, "find">;
  readonly clock: Clock;
  readonly managed: ManagedImages;
  readonly cpuTarget: CpuTarget;
  /** Of each account in each region. */
  readonly limits: ImageLimits;
  /** A version to build was recorded. */
  readonly onBuildWanted: () => void;
  /** An image to remove was recorded. */
  readonly onDeleteWanted: (image: ImageRecord) => void;
  /** A version to remove was recorded. */
  readonly onVersionDeleteWanted: (version: ImageVersionRecord) => void;
}

/** Which image is meant. Rejects NOT_FOUND, VALIDATION_FAILED, ACCESS_DENIED. */
export type FindImage = (
  scope: Scope,
  imageArn: string,
  action: ImageAction,
) => Promise<ImageRecord>;

/** The operations over a store. */
export function createImageOperations(deps: ImageOperationsDeps): ImageOperations {
  const { images, managed } = deps;
  const find: FindImage = async (scope, imageArn, action) => {
    const { name } = parseImageArn(scope, imageArn, action);
    const image = await images.get(scope, name);
    if (image !== undefined) return image;
    throw noImage(action, imageArn);
  };
  return {
    ...imageOperations(deps, find),
    ...createVersionOperations(deps, find),
    ...tagOperations(deps, find),
    async listManaged(scope, page) {
      return pageOf(managed.list(scope), page, ({ imageArn }) => imageArn);
    },
    async listManagedVersions(scope, imageArn, page) {
      const versions = managed.versions(scope, imageArn);
      return pageOf(versions, page, ({ imageVersion }) => imageVersion);
    },
  };
}

function imageOperations(
  deps: ImageOperationsDeps,
  find: FindImage,
): Pick<ImageOperations, "create" | "update" | "get" | "list" | "delete"> {
  const { images, clock, limits } = deps;
  return {
    async create(scope, input) {
      const token = tokenUseOf("CreateMicrovmImage", input);
      const original = token && (await images.findByToken(scope, token));
      if (original) return original;
      const { name } = input;
      const version = await newVersion(deps, scope, name, input);
      const image = newImage(version, checkTags(input.tags ?? {}));
      const created = await images.create(
        { image, version: { ...version, imageVersion: "1.0" } },
        token,
        limits,
      );
      deps.onBuildWanted();
      return created;
    },
    async update(scope, input) {
      const token = tokenUseOf("UpdateMicrovmImage", input);
      const original = token && (await images.findByToken(scope, token));
      if (original) return original;
      const { name } = await find(scope, input.imageArn, "UpdateMicrovmImage");
      const version = await newVersion(deps, scope, name, input);
      const updated = await images.update(version, token, limits);
      deps.onBuildWanted();
      return updated;
    },
    get: (scope, imageArn) => find(scope, imageArn, "GetMicrovmImage"),
    async list(scope, page, nameFilter) {
      const { items, next } = await images.list(scope, page);
      // The service filters a page after it was cut, so a page may be empty and yet have a next one.
      return { items: items.filter(({ name }) => name.includes(nameFilter ?? "")), next };
    },
    async delete(scope, imageArn) {
      const { name } = await find(scope, imageArn, "DeleteMicrovmImage");
      const image = await images.beginDelete(scope, name, clock.now());
      deps.onDeleteWanted(image);
      return image;
    },
  };
}

function tagOperations(
  { images }: ImageOperationsDeps,
  find: FindImage,
): Pick<ImageOperations, "getTags" | "tag" | "untag"> {
  return {
    getTags: async (scope, imageArn) => (await find(scope, imageArn, "ListTags")).tags,
    async tag(scope, imageArn, added) {
      const { name } = await find(scope, imageArn, "TagResource");
      await images.changeTags(scope, name, (tags) => mergeTags(tags, added));
    },
    async untag(scope, imageArn, keys) {
      const { name } = await find(scope, imageArn, "UntagResource");
      await images.changeTags(scope, name, (tags) => withoutTags(tags, keys));
    },
  };
}

async function newVersion(
  { clock, managed, cpuTarget, connectors }: ImageOperationsDeps,
  { account, region }: Scope,
  imageName: string,
  input: ImageConfigurationInput,
): Promise<NewImageVersion> {
  const now = clock.now();
  const configuration = resolveConfiguration({ managed, cpuTarget }, { account, region }, input);
  await checkConnectors(
    { connectors },
    { account, region },
    { direction: "egress", given: configuration.egressNetworkConnectors },
  );
  return {
    account,
    region,
    imageName,
    imageArn: imageArnOf({ account, region }, imageName),
    configuration,
    state: "PENDING",
    status: "INACTIVE",
    stateReason: null,
    buildId: randomUUID(),
    cpuTarget,
    buildAttempts: 0,
    sizes: null,
    createdAt: now,
    updatedAt: now,
  };
}

/** The image of a first version. */
function newImage(version: NewImageVersion, tags: ImageRecord["tags"]): ImageRecord {
  const { account, region, imageName, imageArn, createdAt, updatedAt } = version;
  return {
    account,
    region,
    name: imageName,
    imageArn,
    imageId: randomUUID(),
    state: "CREATING",
    latestActiveImageVersion: null,
    latestFailedImageVersion: null,
    tags,
    createdAt,
    updatedAt,
  };
}
