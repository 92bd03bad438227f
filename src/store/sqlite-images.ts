// Images and their versions in SQLite.

import type { DatabaseSync } from "node:sqlite";
import { ServiceError } from "../errors.ts";
import { canMoveImage } from "../images/state.ts";
import { inTransaction, reading } from "./sqlite-database.ts";
import {
  imageFromRow,
  type ImageTables,
  imageTables,
  SELECT_IMAGE,
  SELECT_VERSION,
  versionFromRow,
} from "./sqlite-image-tables.ts";
import { checkBuilds, updatedAs, versionWrites } from "./sqlite-image-versions.ts";
import { type TokenTable, tokenTable } from "./sqlite-tokens.ts";
import type { BuildOutcome, ImageStore, ImageWithVersion } from "./store.ts";

/** The image part of a SQLite store. Its methods run to their end without yielding. */
export function sqliteImages(db: DatabaseSync): ImageStore {
  const tables = imageTables(db);
  const tokens = tokenTable(db);
  return {
    ...reads(db, tables, tokens),
    ...writes(db, tables, tokens),
    ...versionWrites(db, tables, tokens),
  };
}

type Reads =
  | "findByToken"
  | "get"
  | "getVersion"
  | "listVersions"
  | "pageVersions"
  | "findActiveVersion"
  | "list"
  | "listUnfinishedBuilds"
  | "listDeletingVersions"
  | "listDeleting";

function reads(db: DatabaseSync, tables: ImageTables, tokens: TokenTable): Pick<ImageStore, Reads> {
  const sql = readStatements(db);
  return {
    async findByToken(scope, token) {
      return reading(() => {
        const made = tokens.find(scope, token);
        if (made === undefined) return undefined;
        const isUpdate = token.operation === "UpdateMicrovmImage";
        return isUpdate ? updatedAs(tables, made) : tables.createdAs(made);
      });
    },
    async get(scope, name) {
      return reading(() => tables.image(scope, name));
    },
    async getVersion(scope, name, imageVersion) {
      return reading(() => tables.version(scope, name, imageVersion));
    },
    async listVersions(scope, name) {
      return reading(() => tables.versions(scope, name));
    },
    async pageVersions({ account, region }, name, page) {
      const before = parseVersionKey(page.after);
      const limit = page.maxResults + 1;
      const rows = reading(() => sql.versions.all(account, region, name, before, limit));
      const items = rows.slice(0, page.maxResults).map(versionFromRow);
      const next = rows.length > items.length ? (items.at(-1)?.imageVersion ?? null) : null;
      return { items, next };
    },
    async findActiveVersion({ account, region }, name, imageVersion) {
      const wanted = imageVersion ?? null;
      const row = reading(() => sql.active.get({ account, region, name, wanted }));
      return row && versionFromRow(row);
    },
    async list({ account, region }, page) {
      const limit = page.maxResults + 1;
      const rows = reading(() => sql.list.all(account, region, page.after ?? "", limit));
      const items = rows.slice(0, page.maxResults).map(imageFromRow);
      return { items, next: rows.length > items.length ? (items.at(-1)?.name ?? null) : null };
    },
    async listUnfinishedBuilds() {
      return reading(() => sql.unfinished.all().map(versionFromRow));
    },
    async listDeletingVersions() {
      return reading(() => sql.deletingVersions.all().map(versionFromRow));
    },
    async listDeleting() {
      return reading(() => sql.deleting.all().map(imageFromRow));
    },
  };
}

function writes(
  db: DatabaseSync,
  tables: ImageTables,
  tokens: TokenTable,
): Omit<ImageStore, Reads | keyof ReturnType<typeof versionWrites>> {
  const liveMicrovm = db.prepare(
    "SELECT 1 FROM microvms WHERE account = ? AND region = ? AND image_name = ? AND state <> 'TERMINATED' LIMIT 1",
  );
  return {
    async create(created, token, limits = {}) {
      return inTransaction(db, () => {
        const { image } = created;
        const original = token === null ? undefined : tokens.find(image, token);
        if (original !== undefined) return tables.createdAs(original);
        if (tables.image(image, image.name) !== undefined) {
          throw new ServiceError(
            "VALIDATION_FAILED",
            `A MicroVM image with the name '${image.name}' already exists in this account`,
          );
        }
        if (tables.countImages(image) >= (limits.images ?? Infinity))
          throw new ServiceError(
            "QUOTA_EXCEEDED",
            "The limit of MicroVM images has been reached for this account.",
          );
        checkBuilds(tables, image, limits);
        tables.insert(created);
        if (token !== null) tokens.add(image, token, image.imageId);
        return created;
      });
    },
    async changeTags(scope, name, change) {
      return inTransaction(db, () => {
        const image = tables.existingImage(scope, name);
        return tables.writeImage({ ...image, tags: change(image.tags) });
      });
    },
    async startBuild(buildId, at) {
      return inTransaction(db, () => {
        const version = tables.versionOfBuild(buildId);
        const buildAttempts = version.buildAttempts + 1;
        return tables.moveVersion({ ...version, buildAttempts, updatedAt: at }, "IN_PROGRESS");
      });
    },
    async requeueBuild(buildId, at, isForgiven) {
      return inTransaction(db, () => {
        const version = tables.versionOfBuild(buildId);
        const buildAttempts = version.buildAttempts - (isForgiven ? 1 : 0);
        return tables.moveVersion({ ...version, buildAttempts, updatedAt: at }, "PENDING");
      });
    },
    async finishBuild(buildId, outcome, at) {
      return inTransaction(db, () => finish(tables, buildId, outcome, at));
    },
    async beginDelete(scope, name, at) {
      return inTransaction(db, () => {
        const image = tables.existingImage(scope, name);
        if (image.state === "DELETING") return image;
        if (!canMoveImage(image.state, "DELETING"))
          throw new ServiceError(
            "VALIDATION_FAILED",
            `Cannot delete MicroVM image in its current state: ${image.imageArn}`,
          );
        if (liveMicrovm.get(scope.account, scope.region, name) !== undefined)
          throw new ServiceError(
            "VALIDATION_FAILED",
            "Cannot delete microvm image with running microvms.",
          );
        return tables.moveImage({ ...image, updatedAt: at }, "DELETING");
      });
    },
    async failDelete(scope, name, at) {
      return inTransaction(db, () => {
        const image = tables.existingImage(scope, name);
        return tables.moveImage({ ...image, updatedAt: at }, "DELETE_FAILED");
      });
    },
    async remove(scope, name) {
      inTransaction(db, () => {
        const image = tables.image(scope, name);
        if (image === undefined) return;
        if (!canMoveImage(image.state, "DELETED"))
          throw new ServiceError("CONFLICT", `Cannot remove image "${name}": it is ${image.state}`);
        tokens.removeOf(image.imageId);
        for (const { buildId } of tables.versions(scope, name)) tokens.removeOf(buildId);
        tables.remove(scope, name);
      });
    },
  };
}

function finish(
  tables: ImageTables,
  buildId: string,
  outcome: BuildOutcome,
  at: number,
): ImageWithVersion {
  const building = tables.versionOfBuild(buildId);
  const image = tables.existingImage(building, building.imageName);
  const isFirst = image.state === "CREATING";
  const { imageVersion } = building;
  if (!outcome.succeeded) {
    const { reason, sizes = null } = outcome;
    const failed = { ...building, stateReason: reason, sizes, updatedAt: at };
    return {
      version: tables.moveVersion(failed, "FAILED"),
      image: tables.moveImage(
        { ...image, latestFailedImageVersion: imageVersion, updatedAt: at },
        isFirst ? "CREATE_FAILED" : "UPDATE_FAILED",
      ),
    };
  }
  const built = { ...building, status: "ACTIVE", sizes: outcome.sizes, updatedAt: at } as const;
  return {
    version: tables.moveVersion(built, "SUCCESSFUL"),
    image: tables.moveImage(
      { ...image, latestActiveImageVersion: imageVersion, updatedAt: at },
      isFirst ? "CREATED" : "UPDATED",
    ),
  };
}

function readStatements(db: DatabaseSync) {
  return {
    versions: db.prepare(
      `${SELECT_VERSION} WHERE account = ? AND region = ? AND image_name = ? AND version_number < ?
        ORDER BY version_number DESC LIMIT ?`,
    ),
    active: db.prepare(
      `${SELECT_VERSION} WHERE account = $account AND region = $region AND image_name = $name
        AND state = 'SUCCESSFUL' AND status = 'ACTIVE' AND ($wanted IS NULL OR image_version = $wanted)
        AND NOT EXISTS (SELECT 1 FROM images i WHERE i.account = $account AND i.region = $region AND i.name = $name AND i.state = 'DELETING')
        ORDER BY version_number DESC LIMIT 1`,
    ),
    list: db.prepare(
      `${SELECT_IMAGE} WHERE account = ? AND region = ? AND name > ? ORDER BY name LIMIT ?`,
    ),
    unfinished: db.prepare(
      `${SELECT_VERSION} WHERE state IN ('PENDING', 'IN_PROGRESS') ORDER BY created_at, build_id`,
    ),
    deletingVersions: db.prepare(`${SELECT_VERSION} WHERE state = 'DELETING'`),
    deleting: db.prepare(`${SELECT_IMAGE} WHERE state = 'DELETING'`),
  };
}

/** Versions below it come next. The page key is the version itself. */
function parseVersionKey(key: string | null): number {
  if (key === null) return Number.MAX_SAFE_INTEGER;
  const match = /^(\d{1,15})\.0$/.exec(key);
  if (match === null) throw new ServiceError("VALIDATION_FAILED", "The page key is not valid");
  return Number(match[1]);
}
