// Network connectors of microVMs and builds (spec: 7.5). Only the managed ones exist; they decide about ingress and egress.

import { ServiceError } from "../errors.ts";
import type { EgressPolicy } from "../network/slot.ts";

const INGRESS = ["ALL_INGRESS", "HTTP_INGRESS", "SHELL_INGRESS", "NO_INGRESS"] as const;
const EGRESS = ["INTERNET_EGRESS"] as const;
const ARN = /^arn:[a-z0-9-]+:lambda:([a-z0-9-]*):[a-z0-9]*:network-connector:(.+)$/;

export type ManagedConnector = (typeof INGRESS)[number] | (typeof EGRESS)[number];
export type ConnectorDirection = "ingress" | "egress";

/** The ARN of a managed connector in a region. */
export function managedConnectorArn(region: string, name: ManagedConnector): string {
  return `arn:aws:lambda:${region}:aws:network-connector:aws-network-connector:${name}`;
}

/**
 * The connectors a microVM gets: `given`, or the default of the direction. Rejects VALIDATION_FAILED for an empty list,
 * a malformed ARN or the wrong direction, NOT_FOUND for connectors that do not exist.
 */
export function resolveConnectors(
  region: string,
  direction: ConnectorDirection,
  given: readonly string[] | undefined,
): readonly string[] {
  if (given === undefined)
    return [managedConnectorArn(region, direction === "ingress" ? "HTTP_INGRESS" : EGRESS[0])];
  // The service refuses an empty list too; reading it as "the default" would open what the caller meant to close.
  if (given.length === 0)
    throw new ServiceError(
      "VALIDATION_FAILED",
      `At least one ${direction} connector must be given`,
    );
  for (const arn of given) checkConnector(region, direction, arn);
  return given;
}

/** Rejects as `resolveConnectors` does for one connector. */
export function checkConnector(region: string, direction: ConnectorDirection, arn: string): void {
  const match = ARN.exec(arn);
  if (match === null)
    throw new ServiceError("VALIDATION_FAILED", "Malformed network connector ARN");
  const allowed: readonly ManagedConnector[] = direction === "ingress" ? INGRESS : EGRESS;
  if (allowed.some((name) => arn === managedConnectorArn(region, name))) return;
  const others: readonly ManagedConnector[] = direction === "ingress" ? EGRESS : INGRESS;
  if (others.some((name) => arn === managedConnectorArn(region, name)))
    throw new ServiceError(
      "VALIDATION_FAILED",
      `Network connector ${arn} cannot be used as an ${direction} connector`,
    );
  throw new ServiceError("NOT_FOUND", `Network connector not found for: ${arn}`);
}

/** What the connectors let the guest reach. */
export function egressPolicyOf(region: string, connectors: readonly string[]): EgressPolicy {
  return { internet: connectors.includes(managedConnectorArn(region, "INTERNET_EGRESS")) };
}
