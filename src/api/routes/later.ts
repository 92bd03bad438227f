// Operations of the service's connector API, known but not implemented yet (spec: section 2.9).

import { unimplemented, type Route } from "./route.ts";

const CONNECTORS = "/2026-04-04/network-connectors";
const CONNECTOR = `${CONNECTORS}/{Identifier}`;

export const laterRoutes: readonly Route[] = [
  unimplemented("CreateNetworkConnector", "POST", CONNECTORS),
  unimplemented("ListNetworkConnectors", "GET", CONNECTORS),
  unimplemented("GetNetworkConnector", "GET", CONNECTOR),
  unimplemented("UpdateNetworkConnector", "PUT", CONNECTOR),
  unimplemented("DeleteNetworkConnector", "DELETE", CONNECTOR),
];
