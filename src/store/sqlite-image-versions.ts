// Further versions of an image in SQLite: how they are added, switched on and off, and deleted. While one is built or
// deleted its image is UPDATING, which keeps every other change away.

import type { DatabaseSync } from "node:sqlite";
import { ServiceError } from "../errors.ts";
import type { ImageRecord, ImageVersionRecord } from "../images/records.ts";
import { canMoveImage } from "../images/state.ts";
import type { Scope } from "../microvms/records.ts";
import { inTransaction } from "./sqlite-database.ts";
import type { ImageTables } from "./sqlite-image-tables.ts";
import type { TokenTable } from "./sqlite-tokens.ts";
import type { ImageLimits, ImageStore } from "./store.ts";

type VersionWrites =
  "update" | "setVersionStatus" | "beginDeleteVersion" | "failDeleteVersion" | "removeVersion";

/** The part of an image store that changes versions. Its methods run to their end without yielding. */
export function versionWrites(
  db: DatabaseSync,
  tables: ImageTables,
  tokens: TokenTable,
): Pick<ImageStore, VersionWrites> {
  const liveMicrovm = db.prepare(
    "SELECT 1 FROM microvms WHERE account = ? AND region = ? AND image_name = ? AND image_version = ? AND state <> 'TERMINATED' LIMIT 1",
  );
  const isRun = ({ account, region, imageName, imageVersion }: ImageVersionRecord) =>
    liveMicrovm.get(account, region, imageName, imageVersion) !== undefined;
  return {
    async update(version, token, limits = {}) {
      return inTransaction(db, () => {
        const original = token === null ? undefined : tokens.find(version, token);
        if (original !== undefined) return updatedAs(tables, original);
        const image = tables.existingImage(version, version.imageName);
        if (!isAtRest(image))
          throw refused("Cannot update MicroVM Image in its current state", image);
        checkVersions(tables, image, limits);
        checkBuilds(tables, image, limits);
        const number = tables.nextVersionNumber(image);
        const added = { ...version, imageVersion: `${number}.0` };
        tables.insertVersion(added);
        if (token !== null) tokens.add(version, token, version.buildId);
        const { updatedAt } = version;
        return { image: tables.moveImage({ ...image, updatedAt }, "UPDATING"), version: added };
      });
    },
    async setVersionStatus(scope, name, imageVersion, status, at) {
      return inTransaction(db, () => {
        const { image, version } = changeable(tables, scope, name, imageVersion);
        if (version.status === status) return version;
        if (version.state !== "SUCCESSFUL")
          throw refused("Cannot update MicroVM image version in its current state", version);
        const changed = tables.writeVersion({ ...version, status, updatedAt: at });
        tables.writeImage(withLatest(tables, { ...image, updatedAt: at }));
        return changed;
      });
    },
    async beginDeleteVersion(scope, name, imageVersion, at) {
      return inTransaction(db, () => {
        const found = tables.version(scope, name, imageVersion);
        if (found?.state === "DELETING") return found;
        const { image, version } = changeable(tables, scope, name, imageVersion);
        if (tables.versions(scope, name).length === 1)
          throw new ServiceError(
            "VALIDATION_FAILED",
            "This is the last version. Please delete the entire image",
          );
        if (isRun(version))
          throw new ServiceError(
            "VALIDATION_FAILED",
            "Cannot delete microvm image version with running microvms.",
          );
        const deleting = tables.moveVersion({ ...version, updatedAt: at }, "DELETING");
        tables.moveImage(withLatest(tables, { ...image, updatedAt: at }), "UPDATING");
        return deleting;
      });
    },
    async failDeleteVersion(buildId, at) {
      inTransaction(db, () => {
        const version = tables.versionOfBuild(buildId);
        tables.moveVersion({ ...version, updatedAt: at }, "DELETE_FAILED");
        rest(tables, version, at);
      });
    },
    async removeVersion(buildId, at) {
      inTransaction(db, () => {
        const version = tables.findBuild(buildId);
        if (version === undefined) return;
        if (version.state !== "DELETING")
          throw new ServiceError(
            "CONFLICT",
            `Cannot remove version ${version.imageVersion} of image "${version.imageName}": it is ${version.state}`,
          );
        tokens.removeOf(buildId);
        tables.removeVersion(buildId);
        rest(tables, version, at);
      });
    },
  };
}

/** What an update call returned: its version, and the image as it is now. */
export function updatedAs(tables: ImageTables, buildId: string) {
  const version = tables.versionOfBuild(buildId);
  return { image: tables.existingImage(version, version.imageName), version };
}

function isAtRest({ state }: ImageRecord): boolean {
  return canMoveImage(state, "UPDATING");
}

function refused(message: string, { state }: ImageRecord | ImageVersionRecord): ServiceError {
  return new ServiceError("VALIDATION_FAILED", message, { details: { state } });
}

/** Throws QUOTA_EXCEEDED when as many versions are built in the account and region as may be at once. */
export function checkBuilds(
  tables: ImageTables,
  scope: Scope,
  { concurrentBuilds = Infinity }: ImageLimits,
): void {
  if (tables.countBuilds(scope) < concurrentBuilds) return;
  throw new ServiceError(
    "QUOTA_EXCEEDED",
    "The limit of concurrent MicroVM image builds has been reached for this account.",
  );
}

function checkVersions(
  tables: ImageTables,
  image: ImageRecord,
  { versionsPerImage = Infinity }: ImageLimits,
): void {
  if (tables.versions(image, image.name).length < versionsPerImage) return;
  throw new ServiceError(
    "QUOTA_EXCEEDED",
    "The limit of versions has been reached for this MicroVM image.",
  );
}

/** A version of an image at rest. Throws NOT_FOUND, CONFLICT. */
function changeable(tables: ImageTables, scope: Scope, name: string, imageVersion: string) {
  const image = tables.existingImage(scope, name);
  const version = tables.version(scope, name, imageVersion);
  if (version === undefined)
    throw new ServiceError(
      "NOT_FOUND",
      `MicroVMImage not found for MicroVMImage: ${image.imageArn}, Version: ${imageVersion}`,
    );
  if (isAtRest(image)) return { image, version };
  throw new ServiceError("CONFLICT", `MicroVM Image is already in state: ${image.state}`);
}

/** The image with the newest of its versions that can be run and of those that failed. */
function withLatest(tables: ImageTables, image: ImageRecord): ImageRecord {
  const versions = tables.versions(image, image.name);
  const latest = (isMeant: (version: ImageVersionRecord) => boolean) =>
    versions.findLast(isMeant)?.imageVersion ?? null;
  return {
    ...image,
    latestActiveImageVersion: latest(
      ({ state, status }) => state === "SUCCESSFUL" && status === "ACTIVE",
    ),
    latestFailedImageVersion: latest(({ state }) => state === "FAILED"),
  };
}

/** Ends UPDATING after a deletion: the image is as its newest version left it. */
function rest(tables: ImageTables, { account, region, imageName }: ImageVersionRecord, at: number) {
  const image = tables.existingImage({ account, region }, imageName);
  const newest = tables.versions(image, image.name).at(-1);
  const state = newest?.state === "FAILED" ? "UPDATE_FAILED" : "UPDATED";
  tables.moveImage(withLatest(tables, { ...image, updatedAt: at }), state);
}
