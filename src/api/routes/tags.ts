// Tags of images and network connectors: an API family of its own, with capitals in its bodies.

import type { Tags } from "../../images/tags.ts";
import type { Scope } from "../../microvms/records.ts";
import { inCoreWords } from "../core-errors.ts";
import { tagInput, tagResource, untagResource } from "../schemas.ts";
import { route, type Route, type RouteDeps } from "./route.ts";

const TAGS = "/2017-03-31/tags/{Resource}";

interface Taggable {
  getTags(scope: Scope, resource: string): Promise<Tags>;
  tag(scope: Scope, resource: string, tags: Tags): Promise<void>;
  untag(scope: Scope, resource: string, keys: readonly string[]): Promise<void>;
}

/** Who has the resource with this ARN. */
function ownerOf({ images, connectors }: RouteDeps, resource: string): Taggable {
  return resource.includes(":network-connector:") ? connectors : images;
}

export const tagRoutes: readonly Route[] = [
  route({
    operation: "TagResource",
    method: "POST",
    path: TAGS,
    status: 204,
    input: tagResource,
    handle: async (deps, scope, { Resource, Tags: added }) => {
      await inCoreWords(() => ownerOf(deps, Resource).tag(scope, Resource, added));
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
    handle: async (deps, scope, { Resource, tagKeys }) => {
      await ownerOf(deps, Resource).untag(scope, Resource, tagKeys);
      return {};
    },
  }),
  route({
    operation: "ListTags",
    method: "GET",
    path: TAGS,
    input: tagInput,
    handle: async (deps, scope, { Resource }) => ({
      Tags: await ownerOf(deps, Resource).getTags(scope, Resource),
    }),
  }),
];
