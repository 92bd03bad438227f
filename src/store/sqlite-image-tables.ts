// Rows of images and image versions in SQLite. Called inside a transaction; moves are checked against images/state.ts.

import type { DatabaseSync } from "node:sqlite";
import { ServiceError } from "../errors.ts";
import type {
  CpuTarget,
  ImageConfiguration,
  ImageRecord,
  ImageState,
  ImageVersionRecord,
  ImageVersionState,
  ImageVersionStatus,
  SnapshotSizes,
} from "../images/records.ts";
import { canMoveImage, canMoveVersion } from "../images/state.ts";
import type { Scope } from "../microvms/records.ts";
import {
  jsonOf,
  jsonOrNull,
  numberOf,
  type Row,
  textOf,
  textOrNull,
  toJson,
} from "./sqlite-database.ts";
import type { ImageWithVersion } from "./store.ts";

export const SELECT_IMAGE = "SELECT * FROM images";
export const SELECT_VERSION = "SELECT * FROM image_versions";

export interface ImageTables {
  image(scope: Scope, name: string): ImageRecord | undefined;
  /** Throws NOT_FOUND. */
  existingImage(scope: Scope, name: string): ImageRecord;
  /** Oldest first. */
  versions(scope: Scope, name: string): ImageVersionRecord[];
  version(scope: Scope, name: string, imageVersion: string): ImageVersionRecord | undefined;
  /** What a create call returned: the image with its first version, or the oldest one left. */
  createdAs(imageId: string): ImageWithVersion;
  countImages(scope: Scope): number;
  /** Versions that are PENDING or IN_PROGRESS. */
  countBuilds(scope: Scope): number;
  findBuild(buildId: string): ImageVersionRecord | undefined;
  /** Throws NOT_FOUND. */
  versionOfBuild(buildId: string): ImageVersionRecord;
  insert(created: ImageWithVersion): void;
  insertVersion(version: ImageVersionRecord): void;
  /** A number no version of the image ever had. */
  nextVersionNumber(image: ImageRecord): number;
  /** Writes what of a record can change. */
  writeVersion(version: ImageVersionRecord): ImageVersionRecord;
  /** Writes what of a record can change. */
  writeImage(image: ImageRecord): ImageRecord;
  /** Writes `version`, whose state is the one before, in its new state. Throws CONFLICT. */
  moveVersion(version: ImageVersionRecord, to: ImageVersionState): ImageVersionRecord;
  /** Writes `image`, whose state is the one before, in its new state. Throws CONFLICT. */
  moveImage(image: ImageRecord, to: ImageState): ImageRecord;
  remove(scope: Scope, name: string): void;
  removeVersion(buildId: string): void;
}

/** The statements on `images` and `image_versions`. */
export function imageTables(db: DatabaseSync): ImageTables {
  return { ...lookups(db), ...changes(db) };
}

type Lookups =
  | "image"
  | "existingImage"
  | "version"
  | "versions"
  | "createdAs"
  | "countImages"
  | "countBuilds"
  | "findBuild"
  | "versionOfBuild";

function lookups(db: DatabaseSync): Pick<ImageTables, Lookups> {
  const byName = db.prepare(`${SELECT_IMAGE} WHERE account = ? AND region = ? AND name = ?`);
  const byId = db.prepare(`${SELECT_IMAGE} WHERE image_id = ?`);
  const ofImage = db.prepare(
    `${SELECT_VERSION} WHERE account = ? AND region = ? AND image_name = ? ORDER BY version_number`,
  );
  const byBuild = db.prepare(`${SELECT_VERSION} WHERE build_id = ?`);
  const byVersion = db.prepare(
    `${SELECT_VERSION} WHERE account = ? AND region = ? AND image_name = ? AND image_version = ?`,
  );
  const count = db.prepare(
    "SELECT count(*) AS images FROM images WHERE account = ? AND region = ?",
  );
  const countBuilds = db.prepare(
    `SELECT count(*) AS builds FROM image_versions INDEXED BY image_versions_unfinished
      WHERE state IN ('PENDING', 'IN_PROGRESS') AND account = ? AND region = ?`,
  );
  const image = ({ account, region }: Scope, name: string) => {
    const row = byName.get(account, region, name);
    return row && imageFromRow(row);
  };
  const versions = ({ account, region }: Scope, name: string) =>
    ofImage.all(account, region, name).map(versionFromRow);
  const findBuild = (buildId: string) => {
    const row = byBuild.get(buildId);
    return row && versionFromRow(row);
  };
  return {
    image,
    versions,
    version({ account, region }, name, imageVersion) {
      const row = byVersion.get(account, region, name, imageVersion);
      return row && versionFromRow(row);
    },
    countImages({ account, region }) {
      return numberOf(count.get(account, region) ?? {}, "images");
    },
    countBuilds({ account, region }) {
      return numberOf(countBuilds.get(account, region) ?? {}, "builds");
    },
    existingImage(scope, name) {
      const found = image(scope, name);
      if (found !== undefined) return found;
      throw new ServiceError("NOT_FOUND", `Image not found: ${name}`);
    },
    createdAs(imageId) {
      const row = byId.get(imageId);
      const found = row && imageFromRow(row);
      const version = found && versions(found, found.name)[0];
      if (found === undefined || version === undefined)
        throw new TypeError(`Image ${imageId} of a client token has no row`);
      return { image: found, version };
    },
    findBuild,
    versionOfBuild(buildId) {
      const version = findBuild(buildId);
      if (version !== undefined) return version;
      throw new ServiceError("NOT_FOUND", `Build not found: ${buildId}`);
    },
  };
}

function changes(db: DatabaseSync): Omit<ImageTables, Lookups> {
  const sql = changeStatements(db);
  const writeVersion = (version: ImageVersionRecord) => {
    const { state, status, stateReason, buildAttempts, updatedAt, buildId } = version;
    const sizes = toJson(version.sizes);
    sql.updateVersion.run(state, status, stateReason, buildAttempts, sizes, updatedAt, buildId);
    return version;
  };
  const writeImage = (image: ImageRecord) => {
    const { latestActiveImageVersion: active, latestFailedImageVersion: failed } = image;
    const { state, updatedAt, imageId } = image;
    sql.updateImage.run(state, active, failed, toJson(image.tags), updatedAt, imageId);
    return image;
  };
  return {
    writeVersion,
    writeImage,
    insert({ image, version }) {
      insertImage(sql, image);
      insertVersion(sql, version);
    },
    insertVersion: (version) => insertVersion(sql, version),
    nextVersionNumber({ imageId }) {
      return numberOf(sql.takeNumber.get(imageId) ?? {}, "last_version_number");
    },
    moveVersion(version, to) {
      const { imageName, imageVersion, state } = version;
      if (!canMoveVersion(state, to))
        throw conflict(`version ${imageVersion} of image "${imageName}"`, state, to);
      return writeVersion({ ...version, state: to });
    },
    moveImage(image, to) {
      if (!canMoveImage(image.state, to)) throw conflict(`image "${image.name}"`, image.state, to);
      return writeImage({ ...image, state: to });
    },
    remove({ account, region }, name) {
      sql.removeVersions.run(account, region, name);
      sql.removeImage.run(account, region, name);
    },
    removeVersion(buildId) {
      sql.removeVersion.run(buildId);
    },
  };
}

type ChangeStatements = ReturnType<typeof changeStatements>;

function changeStatements(db: DatabaseSync) {
  return {
    insertImage: db.prepare(
      `INSERT INTO images (account, region, name, image_arn, image_id, state, latest_active_image_version,
        latest_failed_image_version, tags, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    insertVersion: db.prepare(
      `INSERT INTO image_versions (account, region, image_name, version_number, image_version, image_arn, configuration,
        state, status, state_reason, build_id, cpu_target, build_attempts, sizes, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    updateImage: db.prepare(
      `UPDATE images SET state = ?, latest_active_image_version = ?, latest_failed_image_version = ?, tags = ?, updated_at = ?
        WHERE image_id = ?`,
    ),
    updateVersion: db.prepare(
      `UPDATE image_versions SET state = ?, status = ?, state_reason = ?, build_attempts = ?, sizes = ?, updated_at = ?
        WHERE build_id = ?`,
    ),
    takeNumber: db.prepare(
      "UPDATE images SET last_version_number = last_version_number + 1 WHERE image_id = ? RETURNING last_version_number",
    ),
    removeVersion: db.prepare("DELETE FROM image_versions WHERE build_id = ?"),
    removeVersions: db.prepare(
      "DELETE FROM image_versions WHERE account = ? AND region = ? AND image_name = ?",
    ),
    removeImage: db.prepare("DELETE FROM images WHERE account = ? AND region = ? AND name = ?"),
  };
}

function conflict(subject: string, from: string, to: string): ServiceError {
  return new ServiceError("CONFLICT", `Cannot move ${subject} from ${from} to ${to}`);
}

function insertImage(sql: ChangeStatements, image: ImageRecord): void {
  sql.insertImage.run(
    image.account,
    image.region,
    image.name,
    image.imageArn,
    image.imageId,
    image.state,
    image.latestActiveImageVersion,
    image.latestFailedImageVersion,
    toJson(image.tags),
    image.createdAt,
    image.updatedAt,
  );
}

function insertVersion(sql: ChangeStatements, version: ImageVersionRecord): void {
  sql.insertVersion.run(
    version.account,
    version.region,
    version.imageName,
    Number.parseInt(version.imageVersion, 10),
    version.imageVersion,
    version.imageArn,
    toJson(version.configuration),
    version.state,
    version.status,
    version.stateReason,
    version.buildId,
    toJson(version.cpuTarget),
    version.buildAttempts,
    toJson(version.sizes),
    version.createdAt,
    version.updatedAt,
  );
}

/** An image as its row says. */
export function imageFromRow(row: Row): ImageRecord {
  return {
    account: textOf(row, "account"),
    region: textOf(row, "region"),
    name: textOf(row, "name"),
    imageArn: textOf(row, "image_arn"),
    imageId: textOf(row, "image_id"),
    state: textOf(row, "state") as ImageState,
    latestActiveImageVersion: textOrNull(row, "latest_active_image_version"),
    latestFailedImageVersion: textOrNull(row, "latest_failed_image_version"),
    tags: jsonOf(row, "tags") as Record<string, string>,
    createdAt: numberOf(row, "created_at"),
    updatedAt: numberOf(row, "updated_at"),
  };
}

/** An image version as its row says. */
export function versionFromRow(row: Row): ImageVersionRecord {
  return {
    account: textOf(row, "account"),
    region: textOf(row, "region"),
    imageName: textOf(row, "image_name"),
    imageArn: textOf(row, "image_arn"),
    imageVersion: textOf(row, "image_version"),
    configuration: jsonOf(row, "configuration") as ImageConfiguration,
    state: textOf(row, "state") as ImageVersionState,
    status: textOf(row, "status") as ImageVersionStatus,
    stateReason: textOrNull(row, "state_reason"),
    buildId: textOf(row, "build_id"),
    cpuTarget: jsonOf(row, "cpu_target") as CpuTarget,
    buildAttempts: numberOf(row, "build_attempts"),
    sizes: jsonOrNull(row, "sizes") as SnapshotSizes | null,
    createdAt: numberOf(row, "created_at"),
    updatedAt: numberOf(row, "updated_at"),
  };
}
