// Which port of the guest a request is for, and whether a token grants it.

import type { PortGrant } from "../tokens/tokens.ts";

export const DEFAULT_PORT = 8080;

/** A TCP port in plain decimal; undefined for anything else. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}

/** Whether one of the grants covers `port`. */
export function isPortGranted(grants: readonly PortGrant[], port: number): boolean {
  return grants.some((grant) => {
    if ("port" in grant) return grant.port === port;
    if ("range" in grant) return grant.range.startPort <= port && port <= grant.range.endPort;
    return true;
  });
}
