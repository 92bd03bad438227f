// Image operations (spec: section 2.4).

import { openCursor, sealCursor } from "../cursor.ts";
import {
  createMicrovmImage,
  imageInput,
  imageVersionInput,
  listMicrovmImages,
} from "../schemas.ts";
import {
  createdImageWire,
  deletedImageWire,
  imageSummaryWire,
  imageVersionWire,
  imageWire,
} from "../wire.ts";
import { route, unimplemented, type Route } from "./route.ts";

const IMAGES = "/2025-09-09/microvm-images";
const IMAGE = `${IMAGES}/{imageIdentifier}`;
const VERSIONS = `${IMAGE}/versions`;
const VERSION = `${VERSIONS}/{imageVersion}`;
const MANAGED_IMAGES = "/2025-09-09/managed-microvm-images";

export const imageRoutes: readonly Route[] = [
  route({
    operation: "CreateMicrovmImage",
    method: "POST",
    path: IMAGES,
    status: 201,
    input: createMicrovmImage,
    handle: async ({ images }, scope, input) => {
      const { image, version } = await images.create(scope, input);
      return createdImageWire(image, version);
    },
  }),
  route({
    operation: "ListMicrovmImages",
    method: "GET",
    path: IMAGES,
    query: ["maxResults", "nextToken", "nameFilter"],
    input: listMicrovmImages,
    handle: async ({ images, cursorKey }, scope, { maxResults, nextToken, nameFilter }) => {
      const binding = { operation: "ListMicrovmImages", scope, filter: { nameFilter } };
      const after = openCursor(cursorKey, binding, nextToken);
      const page = await images.list(scope, { maxResults, after }, nameFilter);
      return {
        items: page.items.map(imageSummaryWire),
        nextToken: sealCursor(cursorKey, binding, page.next),
      };
    },
  }),
  route({
    operation: "GetMicrovmImage",
    method: "GET",
    path: IMAGE,
    input: imageInput,
    handle: async ({ images }, scope, input) =>
      imageWire(await images.get(scope, input.imageIdentifier)),
  }),
  route({
    operation: "DeleteMicrovmImage",
    method: "DELETE",
    path: IMAGE,
    input: imageInput,
    handle: async ({ images }, scope, input) =>
      deletedImageWire(await images.delete(scope, input.imageIdentifier)),
  }),
  route({
    operation: "GetMicrovmImageVersion",
    method: "GET",
    path: VERSION,
    input: imageVersionInput,
    handle: async ({ images }, scope, input) =>
      imageVersionWire(await images.getVersion(scope, input.imageIdentifier, input.imageVersion)),
  }),
  unimplemented("UpdateMicrovmImage", "PUT", IMAGE),
  unimplemented("ListMicrovmImageVersions", "GET", VERSIONS),
  unimplemented("UpdateMicrovmImageVersion", "PATCH", VERSION),
  unimplemented("DeleteMicrovmImageVersion", "DELETE", VERSION),
  unimplemented("ListMicrovmImageBuilds", "GET", `${VERSION}/builds`),
  unimplemented("GetMicrovmImageBuild", "GET", `${VERSION}/builds/{buildId}`),
  unimplemented("ListManagedMicrovmImages", "GET", MANAGED_IMAGES),
  unimplemented(
    "ListManagedMicrovmImageVersions",
    "GET",
    `${MANAGED_IMAGES}/{imageIdentifier}/versions`,
  ),
];
