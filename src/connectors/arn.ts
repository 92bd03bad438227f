// ARNs of customers' network connectors.

import type { Scope } from "../microvms/records.ts";

const RESOURCE = "network-connector";

/** The ARN of a connector's id; the service builds it of a name too, to say what it did not find. */
export function connectorArnOf({ account, region }: Scope, connectorId: string): string {
  return `arn:aws:lambda:${region}:${account}:${RESOURCE}:${connectorId}`;
}

/**
 * The id or name that `identifier`, an ARN of this account and region or such a word itself, stands for, and the version
 * that an ARN may end with. Undefined for anything else.
 */
export function parseConnectorIdentifier(
  scope: Scope,
  identifier: string,
): { readonly idOrName: string; readonly version?: number } | undefined {
  const prefix = connectorArnOf(scope, "");
  const isArn = identifier.startsWith(prefix);
  const match = /^([A-Za-z0-9_-]+)(?::([1-9]\d{0,14}))?$/.exec(
    isArn ? identifier.slice(prefix.length) : identifier,
  );
  const [, idOrName, version] = match ?? [];
  if (idOrName === undefined || (version !== undefined && !isArn)) return undefined;
  return { idOrName, ...(version !== undefined && { version: Number(version) }) };
}
