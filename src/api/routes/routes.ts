// All operations of the service, implemented or known.

import { connectorRoutes } from "./connectors.ts";
import { imageRoutes } from "./images.ts";
import { laterRoutes } from "./later.ts";
import { microvmRoutes } from "./microvms.ts";
import type { Route } from "./route.ts";
import { tokenRoutes } from "./tokens.ts";

export const ROUTES: readonly Route[] = [
  ...imageRoutes,
  ...microvmRoutes,
  ...tokenRoutes,
  ...connectorRoutes,
  ...laterRoutes,
];
