// The operations on versions of an image and on their builds.

import { ServiceError } from "../errors.ts";
import type { Scope } from "../microvms/records.ts";
import { canonicalVersion, type ImageAction } from "./arn.ts";
import type { FindImage, ImageOperationsDeps } from "./create-operations.ts";
import type { BuildFilter, ImageOperations } from "./operations.ts";
import { pageOf } from "./page.ts";
import type { BuildRecord, BuildState, ImageVersionRecord } from "./records.ts";

type VersionOperations =
  "getVersion" | "listVersions" | "setVersionStatus" | "deleteVersion" | "getBuild" | "listBuilds";

/** The operations over a store; `find` is how an image is looked up for a caller. */
export function createVersionOperations(
  { images, clock, onVersionDeleteWanted }: ImageOperationsDeps,
  find: FindImage,
): Pick<ImageOperations, VersionOperations> {
  const findVersion = async (
    scope: Scope,
    imageArn: string,
    imageVersion: string,
    action: ImageAction,
  ) => {
    const { name } = await find(scope, imageArn, action);
    const version = await images.getVersion(scope, name, canonicalVersion(imageVersion));
    if (version !== undefined) return version;
    throw new ServiceError(
      "NOT_FOUND",
      `MicroVMImage not found for MicroVMImage: ${imageArn}, Version: ${imageVersion}`,
    );
  };
  return {
    getVersion: (scope, imageArn, imageVersion) =>
      findVersion(scope, imageArn, imageVersion, "GetMicrovmImageVersion"),
    async listVersions(scope, imageArn, page) {
      const { name } = await find(scope, imageArn, "ListMicrovmImageVersions");
      return images.pageVersions(scope, name, page);
    },
    async setVersionStatus(scope, imageArn, wanted, status) {
      const version = await findVersion(scope, imageArn, wanted, "UpdateMicrovmImageVersion");
      const { imageName, imageVersion } = version;
      return images.setVersionStatus(scope, imageName, imageVersion, status, clock.now());
    },
    async deleteVersion(scope, imageArn, wanted) {
      const version = await findVersion(scope, imageArn, wanted, "DeleteMicrovmImageVersion");
      const { imageName, imageVersion } = version;
      const deleting = await images.beginDeleteVersion(scope, imageName, imageVersion, clock.now());
      onVersionDeleteWanted(deleting);
      return deleting;
    },
    async getBuild(scope, imageArn, wanted, buildId) {
      const version = await findVersion(scope, imageArn, wanted, "GetMicrovmImageBuild");
      const build = buildsOf(version).find((each) => each.buildId === buildId);
      if (build !== undefined) return build;
      throw new ServiceError(
        "NOT_FOUND",
        `MicroVMImageBuild not found for MicroVMImage: ${imageArn}, Version: ${wanted}, BuildID: ${buildId}`,
      );
    },
    async listBuilds(scope, imageArn, wanted, filter, page) {
      const version = await findVersion(scope, imageArn, wanted, "ListMicrovmImageBuilds");
      const builds = buildsOf(version).filter((build) => isMeant(build, filter));
      return pageOf(builds, page, ({ buildId }) => buildId);
    },
  };
}

/** The builds of a version: one for each CPU target, which on one host is one. */
export function buildsOf(version: ImageVersionRecord): BuildRecord[] {
  const { imageArn, imageVersion, buildId, stateReason, sizes, createdAt, cpuTarget } = version;
  const facts = { imageArn, imageVersion, buildId, stateReason, sizes, createdAt };
  return [{ ...facts, ...cpuTarget, buildState: buildStateOf(version) }];
}

/** A build stays as it ended while its version is deleted; only a failed one has a reason. */
function buildStateOf({ state, stateReason }: ImageVersionRecord): BuildState {
  switch (state) {
    case "PENDING":
    case "IN_PROGRESS":
    case "SUCCESSFUL":
    case "FAILED":
      return state;
    case "DELETING":
    case "DELETED":
    case "DELETE_FAILED":
      return stateReason === null ? "SUCCESSFUL" : "FAILED";
    default:
      return state satisfies never;
  }
}

function isMeant(build: BuildRecord, filter: BuildFilter): boolean {
  return (["architecture", "chipset", "chipsetGeneration"] as const).every(
    (member) => filter[member] === undefined || filter[member] === build[member],
  );
}
