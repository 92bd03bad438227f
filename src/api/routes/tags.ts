// Tags of images: an API family of its own, with capitals in its bodies.

import { tagInput, tagResource, untagResource } from "../schemas.ts";
import { route, type Route } from "./route.ts";

const TAGS = "/2017-03-31/tags/{Resource}";

export const tagRoutes: readonly Route[] = [
  route({
    operation: "TagResource",
    method: "POST",
    path: TAGS,
    status: 204,
    input: tagResource,
    handle: async ({ images }, scope, { Resource, Tags }) => {
      await images.tag(scope, Resource, Tags);
      return {};
    },
  }),
  route({
    operation: "UntagResource",
    method: "DELETE",
    path: TAGS,
    queryLists: ["tagKeys"],
    status: 204,
    input: untagResource,
    handle: async ({ images }, scope, { Resource, tagKeys }) => {
      await images.untag(scope, Resource, tagKeys);
      return {};
    },
  }),
  route({
    operation: "ListTags",
    method: "GET",
    path: TAGS,
    input: tagInput,
    handle: async ({ images }, scope, { Resource }) => ({
      Tags: await images.getTags(scope, Resource),
    }),
  }),
];
