// Endpoint tokens.

import { ServiceError } from "../../errors.ts";
import { createMicrovmAuthToken } from "../schemas.ts";
import { authTokenWire } from "../wire.ts";
import { route, unimplemented, type Route } from "./route.ts";

const MICROVM = "/2025-09-09/microvms/{microvmIdentifier}";

export const tokenRoutes: readonly Route[] = [
  route({
    operation: "CreateMicrovmAuthToken",
    method: "POST",
    path: `${MICROVM}/auth-token`,
    input: createMicrovmAuthToken,
    handle: async ({ microvms, tokens, clock }, scope, input) => {
      const { microvmId, state } = await microvms.get(scope, input.microvmIdentifier);
      // Unrecorded for the service; this is what its other operations answer for a terminated microVM.
      if (state === "TERMINATED")
        throw new ServiceError(
          "VALIDATION_FAILED",
          `The MicroVM ${microvmId} has been terminated and its state cannot be changed.`,
        );
      const token = await tokens.mint({
        microvmId,
        ports: input.allowedPorts,
        expiresAt: clock.now() + input.expirationInMinutes * 60_000,
      });
      return authTokenWire(token);
    },
  }),
  unimplemented("CreateMicrovmShellAuthToken", "POST", `${MICROVM}/shell-auth-token`),
];
