// Network connector operations of lambda-core.

import {
  connectorInput,
  createNetworkConnector,
  listNetworkConnectors,
  updateNetworkConnector,
} from "../connector-schemas.ts";
import {
  connectorSummaryWire,
  connectorWire,
  describedConnectorWire,
  updatedConnectorWire,
} from "../connector-wire.ts";
import { inCoreWords } from "../core-errors.ts";
import { openCursor, sealCursor } from "../cursor.ts";
import { route, type Route } from "./route.ts";

const CONNECTORS = "/2026-04-04/network-connectors";
const CONNECTOR = `${CONNECTORS}/{Identifier}`;
const ACCEPTED = 202;

const coreRoute: typeof route = (definition) =>
  route({
    ...definition,
    handle: (deps, scope, input) => inCoreWords(() => definition.handle(deps, scope, input)),
  });

export const connectorRoutes: readonly Route[] = [
  coreRoute({
    operation: "CreateNetworkConnector",
    method: "POST",
    path: CONNECTORS,
    status: ACCEPTED,
    input: createNetworkConnector,
    handle: async ({ connectors }, scope, input) =>
      connectorWire(await connectors.create(scope, input)),
  }),
  coreRoute({
    operation: "ListNetworkConnectors",
    method: "GET",
    path: CONNECTORS,
    query: ["State", "Marker", "MaxItems"],
    input: listNetworkConnectors,
    handle: async ({ connectors, cursorKey }, scope, { maxItems, marker, state }) => {
      const filter = state === undefined ? {} : { state };
      const binding = { operation: "ListNetworkConnectors", scope, filter };
      const after = openCursor(cursorKey, binding, marker, "Marker");
      const page = await connectors.list(scope, filter, { maxResults: maxItems, after });
      const next = sealCursor(cursorKey, binding, page.next);
      return {
        NetworkConnectors: page.items.map(connectorSummaryWire),
        ...(next !== null && { NextMarker: next }),
      };
    },
  }),
  coreRoute({
    operation: "GetNetworkConnector",
    method: "GET",
    path: CONNECTOR,
    input: connectorInput,
    handle: async ({ connectors }, scope, { identifier }) =>
      describedConnectorWire(await connectors.get(scope, identifier)),
  }),
  coreRoute({
    operation: "UpdateNetworkConnector",
    method: "PUT",
    path: CONNECTOR,
    status: ACCEPTED,
    input: updateNetworkConnector,
    handle: async ({ connectors }, scope, { identifier, ...input }) =>
      updatedConnectorWire(await connectors.update(scope, identifier, input)),
  }),
  coreRoute({
    operation: "DeleteNetworkConnector",
    method: "DELETE",
    path: CONNECTOR,
    status: ACCEPTED,
    input: connectorInput,
    handle: async ({ connectors }, scope, { identifier }) =>
      connectorWire(await connectors.delete(scope, identifier)),
  }),
];
