// Operations on the managed base images.

import { listImageVersions, listManagedMicrovmImages } from "../schemas.ts";
import { managedImageVersionWire, managedImageWire } from "../wire-managed.ts";
import { answerPage } from "./listing.ts";
import { route, type Route } from "./route.ts";

const MANAGED_IMAGES = "/2025-09-09/managed-microvm-images";

export const managedImageRoutes: readonly Route[] = [
  route({
    operation: "ListManagedMicrovmImages",
    method: "GET",
    path: MANAGED_IMAGES,
    query: ["maxResults", "nextToken"],
    input: listManagedMicrovmImages,
    handle: ({ images, cursorKey }, scope, page) =>
      answerPage(
        cursorKey,
        { operation: "ListManagedMicrovmImages", scope, filter: {} },
        page,
        (request) => images.listManaged(scope, request),
        managedImageWire,
      ),
  }),
  route({
    operation: "ListManagedMicrovmImageVersions",
    method: "GET",
    path: `${MANAGED_IMAGES}/{imageIdentifier}/versions`,
    query: ["maxResults", "nextToken"],
    input: listImageVersions,
    handle: ({ images, cursorKey }, scope, { imageIdentifier, ...page }) =>
      answerPage(
        cursorKey,
        { operation: "ListManagedMicrovmImageVersions", scope, filter: { imageIdentifier } },
        page,
        (request) => images.listManagedVersions(scope, imageIdentifier, request),
        managedImageVersionWire,
      ),
  }),
];
