// Operations on images.

import {
  createMicrovmImage,
  imageInput,
  listMicrovmImages,
  updateMicrovmImage,
} from "../schemas.ts";
import {
  createdImageWire,
  deletedImageWire,
  imageSummaryWire,
  imageWire,
  updatedImageWire,
} from "../wire.ts";
import { answerPage } from "./listing.ts";
import { route, type Route } from "./route.ts";

const IMAGES = "/2025-09-09/microvm-images";
const IMAGE = `${IMAGES}/{imageIdentifier}`;

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
    handle: ({ images, cursorKey }, scope, { nameFilter, ...page }) =>
      answerPage(
        cursorKey,
        { operation: "ListMicrovmImages", scope, filter: { nameFilter } },
        page,
        (request) => images.list(scope, request, nameFilter),
        imageSummaryWire,
      ),
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
    operation: "UpdateMicrovmImage",
    method: "PUT",
    path: IMAGE,
    input: updateMicrovmImage,
    handle: async ({ images }, scope, input) => {
      const { image, version } = await images.update(scope, input);
      return updatedImageWire(image, version);
    },
  }),
  route({
    operation: "DeleteMicrovmImage",
    method: "DELETE",
    path: IMAGE,
    input: imageInput,
    handle: async ({ images }, scope, input) =>
      deletedImageWire(await images.delete(scope, input.imageIdentifier)),
  }),
];
