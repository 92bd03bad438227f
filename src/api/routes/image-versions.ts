// Operations on the versions of an image and on their builds.

import {
  imageBuildInput,
  imageVersionInput,
  listImageVersions,
  listMicrovmImageBuilds,
  updateMicrovmImageVersion,
} from "../schemas.ts";
import { buildSummaryWire, buildWire } from "../wire-builds.ts";
import { deletedVersionWire, imageVersionWire } from "../wire.ts";
import { answerPage } from "./listing.ts";
import { route, type Route } from "./route.ts";

const VERSIONS = "/2025-09-09/microvm-images/{imageIdentifier}/versions";
const VERSION = `${VERSIONS}/{imageVersion}`;
const BUILDS = `${VERSION}/builds`;

export const imageVersionRoutes: readonly Route[] = [
  route({
    operation: "ListMicrovmImageVersions",
    method: "GET",
    path: VERSIONS,
    query: ["maxResults", "nextToken"],
    input: listImageVersions,
    handle: ({ images, cursorKey }, scope, { imageIdentifier, ...page }) =>
      answerPage(
        cursorKey,
        { operation: "ListMicrovmImageVersions", scope, filter: { imageIdentifier } },
        page,
        (request) => images.listVersions(scope, imageIdentifier, request),
        imageVersionWire,
      ),
  }),
  route({
    operation: "GetMicrovmImageVersion",
    method: "GET",
    path: VERSION,
    input: imageVersionInput,
    handle: async ({ images }, scope, { imageIdentifier, imageVersion }) =>
      imageVersionWire(await images.getVersion(scope, imageIdentifier, imageVersion)),
  }),
  route({
    operation: "UpdateMicrovmImageVersion",
    method: "PATCH",
    path: VERSION,
    input: updateMicrovmImageVersion,
    handle: async ({ images }, scope, { imageIdentifier, imageVersion, status }) =>
      imageVersionWire(await images.setVersionStatus(scope, imageIdentifier, imageVersion, status)),
  }),
  route({
    operation: "DeleteMicrovmImageVersion",
    method: "DELETE",
    path: VERSION,
    input: imageVersionInput,
    handle: async ({ images }, scope, { imageIdentifier, imageVersion }) =>
      deletedVersionWire(await images.deleteVersion(scope, imageIdentifier, imageVersion)),
  }),
  route({
    operation: "ListMicrovmImageBuilds",
    method: "GET",
    path: BUILDS,
    query: ["maxResults", "nextToken", "architecture", "chipset", "chipsetGeneration"],
    input: listMicrovmImageBuilds,
    handle: ({ images, cursorKey }, scope, input) => {
      const { maxResults, nextToken, imageIdentifier, imageVersion, ...filter } = input;
      return answerPage(
        cursorKey,
        {
          operation: "ListMicrovmImageBuilds",
          scope,
          filter: { ...filter, imageIdentifier, imageVersion },
        },
        { maxResults, ...(nextToken === undefined ? {} : { nextToken }) },
        (request) => images.listBuilds(scope, imageIdentifier, imageVersion, filter, request),
        buildSummaryWire,
      );
    },
  }),
  route({
    operation: "GetMicrovmImageBuild",
    method: "GET",
    path: `${BUILDS}/{buildId}`,
    input: imageBuildInput,
    handle: async ({ images }, scope, { imageIdentifier, imageVersion, buildId }) =>
      buildWire(await images.getBuild(scope, imageIdentifier, imageVersion, buildId)),
  }),
];
