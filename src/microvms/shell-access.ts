// Whether a microVM has a shell: it was run with the connector for one, and with none that excludes it.

import { ServiceError } from "../errors.ts";
import { managedConnectorArn } from "./connectors.ts";
import type { MicrovmRecord } from "./records.ts";

/** Throws VALIDATION_FAILED in the service's words. RunMicrovm takes any set of connectors; the shell does not. */
export function checkShellAccess({ region, ingressNetworkConnectors }: MicrovmRecord): void {
  const all = managedConnectorArn(region, "ALL_INGRESS");
  if (ingressNetworkConnectors.includes(all) && new Set(ingressNetworkConnectors).size > 1)
    throw new ServiceError(
      "VALIDATION_FAILED",
      "ALL_INGRESS cannot be combined with other ingress network connectors; use HTTP_INGRESS and/or SHELL_INGRESS instead",
    );
  if (ingressNetworkConnectors.includes(managedConnectorArn(region, "SHELL_INGRESS"))) return;
  throw new ServiceError(
    "VALIDATION_FAILED",
    "Shell access requires SHELL_INGRESS network connector to be configured on the MicroVM.",
  );
}
