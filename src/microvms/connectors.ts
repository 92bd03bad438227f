// The network connectors that microVMs and builds name. The managed ones decide about ingress and egress; a
// customer's own closes egress, as a VPC without a route does (docs/decisions/0002-network-connectors.md).

import { connectorArnOf, parseConnectorIdentifier } from "../connectors/arn.ts";
import { ServiceError } from "../errors.ts";
import type { EgressPolicy } from "../network/slot.ts";
import type { ConnectorStore } from "../store/connector-store.ts";
import type { Scope } from "./records.ts";

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
 * a malformed ARN, the wrong direction or a connector that is not ACTIVE, NOT_FOUND for connectors that do not exist.
 */
export async function resolveConnectors(
  deps: { readonly connectors: Pick<ConnectorStore, "find"> },
  scope: Scope,
  { direction, given }: { direction: ConnectorDirection; given: readonly string[] | undefined },
): Promise<readonly string[]> {
  const { region } = scope;
  if (given === undefined)
    return [managedConnectorArn(region, direction === "ingress" ? "HTTP_INGRESS" : EGRESS[0])];
  // The service refuses an empty list too; reading it as "the default" would open what the caller meant to close.
  if (given.length === 0)
    throw new ServiceError(
      "VALIDATION_FAILED",
      `At least one ${direction} connector must be given`,
    );
  await checkConnectors(deps, scope, { direction, given });
  return given;
}

/**
 * Rejects VALIDATION_FAILED for a malformed ARN, the wrong direction or a connector that is not ACTIVE, NOT_FOUND for one
 * that does not exist.
 */
export async function checkConnectors(
  deps: { readonly connectors: Pick<ConnectorStore, "find"> },
  scope: Scope,
  { direction, given }: { direction: ConnectorDirection; given: readonly string[] },
): Promise<void> {
  for (const arn of given) {
    if (arn.startsWith(connectorArnOf(scope, ""))) await checkOwn(deps, scope, { direction, arn });
    else checkManaged(scope.region, direction, arn);
  }
}

async function checkOwn(
  { connectors }: { readonly connectors: Pick<ConnectorStore, "find"> },
  scope: Scope,
  { direction, arn }: { direction: ConnectorDirection; arn: string },
): Promise<void> {
  const parsed = parseConnectorIdentifier(scope, arn);
  const record = parsed && (await connectors.find(scope, parsed.idOrName));
  if (record === undefined || (parsed?.version ?? record.version) !== record.version)
    throw notFound(arn);
  if (direction === "ingress") throw wrongDirection(direction, arn);
  if (record.state === "ACTIVE") return;
  throw new ServiceError(
    "VALIDATION_FAILED",
    `Network connector ${arn} is not ACTIVE, its state is: ${record.state}`,
  );
}

/** Checks one managed connector; any other does not exist. */
function checkManaged(region: string, direction: ConnectorDirection, arn: string): void {
  const match = ARN.exec(arn);
  if (match === null)
    throw new ServiceError("VALIDATION_FAILED", "Malformed network connector ARN");
  const allowed: readonly ManagedConnector[] = direction === "ingress" ? INGRESS : EGRESS;
  if (allowed.some((name) => arn === managedConnectorArn(region, name))) return;
  const others: readonly ManagedConnector[] = direction === "ingress" ? EGRESS : INGRESS;
  if (others.some((name) => arn === managedConnectorArn(region, name)))
    throw wrongDirection(direction, arn);
  throw notFound(arn);
}

function wrongDirection(direction: ConnectorDirection, arn: string): ServiceError {
  return new ServiceError(
    "VALIDATION_FAILED",
    `Network connector ${arn} cannot be used as an ${direction} connector`,
  );
}

function notFound(arn: string): ServiceError {
  return new ServiceError("NOT_FOUND", `Network connector not found for: ${arn}`);
}

/** Whether a managed connector of that name is among the ingress connectors of a microVM. */
export function hasIngress(connectors: readonly string[], name: (typeof INGRESS)[number]): boolean {
  return connectors.some((arn) => arn.slice(arn.lastIndexOf(":") + 1) === name);
}

/** Throws VALIDATION_FAILED unless the connectors let a shell in. Run takes sets that are refused here. */
export function checkShellConnectors(connectors: readonly string[]): void {
  if (hasIngress(connectors, "ALL_INGRESS") && connectors.length > 1)
    throw new ServiceError(
      "VALIDATION_FAILED",
      "ALL_INGRESS cannot be combined with other ingress network connectors; use HTTP_INGRESS and/or SHELL_INGRESS instead",
    );
  if (!hasIngress(connectors, "SHELL_INGRESS"))
    throw new ServiceError(
      "VALIDATION_FAILED",
      "Shell access requires SHELL_INGRESS network connector to be configured on the MicroVM.",
    );
}

/** What the connectors let the guest reach. */
export function egressPolicyOf(region: string, connectors: readonly string[]): EgressPolicy {
  return { internet: connectors.includes(managedConnectorArn(region, "INTERNET_EGRESS")) };
}
