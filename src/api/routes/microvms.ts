// MicroVM operations.

import type { MicrovmOperations } from "../../microvms/operations.ts";
import { openCursor, sealCursor } from "../cursor.ts";
import { listMicrovms, microvmInput, runMicrovm } from "../schemas.ts";
import { microvmItemWire, microvmWire } from "../wire.ts";
import { route, type Route } from "./route.ts";

const MICROVMS = "/2025-09-09/microvms";
const MICROVM = `${MICROVMS}/{microvmIdentifier}`;

export const microvmRoutes: readonly Route[] = [
  route({
    operation: "RunMicrovm",
    method: "POST",
    path: MICROVMS,
    input: runMicrovm,
    handle: async ({ microvms, ingressAuthority }, scope, input) =>
      microvmWire(await microvms.run(scope, input), ingressAuthority),
  }),
  route({
    operation: "ListMicrovms",
    method: "GET",
    path: MICROVMS,
    query: ["imageIdentifier", "imageVersion", "maxResults", "nextToken"],
    input: listMicrovms,
    handle: async ({ microvms, cursorKey }, scope, { maxResults, nextToken, ...query }) => {
      const binding = { operation: "ListMicrovms", scope, filter: query };
      const after = openCursor(cursorKey, binding, nextToken);
      const page = await microvms.list(scope, filterOf(query), { maxResults, after });
      return {
        items: page.items.map(microvmItemWire),
        nextToken: sealCursor(cursorKey, binding, page.next),
      };
    },
  }),
  route({
    operation: "GetMicrovm",
    method: "GET",
    path: MICROVM,
    input: microvmInput,
    handle: async ({ microvms, microvmText }, scope, input) =>
      microvmText(await microvms.get(scope, input.microvmIdentifier)),
  }),
  stateChange("SuspendMicrovm", "POST", `${MICROVM}/suspend`, "suspend"),
  stateChange("ResumeMicrovm", "POST", `${MICROVM}/resume`, "resume"),
  stateChange("TerminateMicrovm", "DELETE", MICROVM, "terminate"),
];

/** The three operations that take an id and answer `{}`. */
function stateChange(
  operation: string,
  method: "POST" | "DELETE",
  path: string,
  verb: keyof Pick<MicrovmOperations, "suspend" | "resume" | "terminate">,
): Route {
  return route({
    operation,
    method,
    path,
    input: microvmInput,
    handle: async ({ microvms }, scope, input) => {
      await microvms[verb](scope, input.microvmIdentifier);
      return {};
    },
  });
}

function filterOf(query: { imageIdentifier?: string; imageVersion?: string }) {
  const { imageIdentifier, imageVersion } = query;
  return {
    ...(imageIdentifier === undefined ? {} : { imageArn: imageIdentifier }),
    ...(imageVersion === undefined ? {} : { imageVersion }),
  };
}
