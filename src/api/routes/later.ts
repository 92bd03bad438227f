// Operations of the service's other two API families, known but not implemented yet (spec: sections 2.6 and 2.9).

import { unimplemented, type Route } from "./route.ts";

const TAGS = "/2017-03-31/tags/{Resource}";
const CONNECTORS = "/2026-04-04/network-connectors";
const CONNECTOR = `${CONNECTORS}/{Identifier}`;

export const laterRoutes: readonly Route[] = [
  unimplemented("TagResource", "POST", TAGS),
  unimplemented("UntagResource", "DELETE", TAGS),
  unimplemented("ListTags", "GET", TAGS),
  unimplemented("CreateNetworkConnector", "POST", CONNECTORS),
  unimplemented("ListNetworkConnectors", "GET", CONNECTORS),
  unimplemented("GetNetworkConnector", "GET", CONNECTOR),
  unimplemented("UpdateNetworkConnector", "PUT", CONNECTOR),
  unimplemented("DeleteNetworkConnector", "DELETE", CONNECTOR),
];
