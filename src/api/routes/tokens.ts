// Endpoint and shell tokens.

import { ServiceError } from "../../errors.ts";
import { checkShellConnectors } from "../../microvms/connectors.ts";
import type { MicrovmRecord } from "../../microvms/records.ts";
import { createMicrovmAuthToken, createMicrovmShellAuthToken } from "../schemas.ts";
import { authTokenWire } from "../wire.ts";
import { route, type Route } from "./route.ts";

const MICROVM = "/2025-09-09/microvms/{microvmIdentifier}";

export const tokenRoutes: readonly Route[] = [
  route({
    operation: "CreateMicrovmAuthToken",
    method: "POST",
    path: `${MICROVM}/auth-token`,
    input: createMicrovmAuthToken,
    handle: async ({ microvms, tokens, clock }, scope, input) => {
      const { microvmId, state } = await microvms.get(scope, input.microvmIdentifier);
      refuseTerminated(microvmId, state);
      const token = await tokens.mint({
        microvmId,
        ports: input.allowedPorts,
        expiresAt: clock.now() + input.expirationInMinutes * 60_000,
      });
      return authTokenWire(token);
    },
  }),
  route({
    operation: "CreateMicrovmShellAuthToken",
    method: "POST",
    path: `${MICROVM}/shell-auth-token`,
    input: createMicrovmShellAuthToken,
    handle: async ({ microvms, tokens, clock }, scope, input) => {
      const record = await microvms.get(scope, input.microvmIdentifier);
      const { microvmId, state, ingressNetworkConnectors } = record;
      refuseTerminated(microvmId, state);
      checkShellConnectors(ingressNetworkConnectors);
      const token = await tokens.mint({
        microvmId,
        shell: true,
        expiresAt: clock.now() + input.expirationInMinutes * 60_000,
      });
      return authTokenWire(token);
    },
  }),
];

/** Unrecorded for the service; this is what its other operations answer for a terminated microVM. */
function refuseTerminated(microvmId: string, state: MicrovmRecord["state"]): void {
  if (state !== "TERMINATED") return;
  throw new ServiceError(
    "VALIDATION_FAILED",
    `The MicroVM ${microvmId} has been terminated and its state cannot be changed.`,
  );
}
