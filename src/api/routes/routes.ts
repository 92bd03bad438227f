// All operations of the service, implemented or known.

import { connectorRoutes } from "./connectors.ts";
import { imageVersionRoutes } from "./image-versions.ts";
import { imageRoutes } from "./images.ts";
import { managedImageRoutes } from "./managed-images.ts";
import { microvmRoutes } from "./microvms.ts";
import type { Route } from "./route.ts";
import { tagRoutes } from "./tags.ts";
import { tokenRoutes } from "./tokens.ts";

export const ROUTES: readonly Route[] = [
  ...imageRoutes,
  ...imageVersionRoutes,
  ...managedImageRoutes,
  ...microvmRoutes,
  ...tokenRoutes,
  ...tagRoutes,
  ...connectorRoutes,
];
