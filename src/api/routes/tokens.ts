// Tokens for the endpoint: for ports of the application, and for the shell.

import { ServiceError } from "../../errors.ts";
import type { MicrovmRecord } from "../../microvms/records.ts";
import { checkShellAccess } from "../../microvms/shell-access.ts";
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
      const { microvmId } = notEnded(await microvms.get(scope, input.microvmIdentifier));
      const expiresAt = clock.now() + input.expirationInMinutes * 60_000;
      return authTokenWire(await tokens.mint({ microvmId, ports: input.allowedPorts, expiresAt }));
    },
  }),
  route({
    operation: "CreateMicrovmShellAuthToken",
    method: "POST",
    path: `${MICROVM}/shell-auth-token`,
    input: createMicrovmShellAuthToken,
    handle: async ({ microvms, tokens, clock }, scope, input) => {
      const record = notEnded(await microvms.get(scope, input.microvmIdentifier));
      checkShellAccess(record);
      const { microvmId } = record;
      const expiresAt = clock.now() + input.expirationInMinutes * 60_000;
      return authTokenWire(await tokens.mint({ microvmId, ports: [], shell: true, expiresAt }));
    },
  }),
];

/** Unrecorded for the service; this is what its other operations answer for a terminated microVM. */
function notEnded(record: MicrovmRecord): MicrovmRecord {
  if (record.state !== "TERMINATED") return record;
  throw new ServiceError(
    "VALIDATION_FAILED",
    `The MicroVM ${record.microvmId} has been terminated and its state cannot be changed.`,
  );
}
