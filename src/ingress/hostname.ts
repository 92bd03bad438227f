// Reads the authority of a request: the endpoint of a microVM, or a loopback name that leaves it to the token.

import { isIP } from "node:net";

export type RequestHost =
  | { readonly kind: "endpoint"; readonly endpointId: string; readonly region: string }
  | { readonly kind: "loopback" }
  | { readonly kind: "unknown" };

const AUTHORITY = /^(?<host>\[[0-9a-f:.]+\]|[^:[\]@/?#\s]+)(?::(?<port>\d{1,5}))?$/;
const ENDPOINT =
  /^(?<endpointId>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.lambda-microvm\.(?<region>[a-z0-9-]+)\.(?<domain>.+)$/;
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * What `host[:port]` says about the microVM that is meant; endpoints are names under one of `domains`. The port says
 * nothing: the client may see us behind another one.
 */
export function parseRequestHost(
  authority: string | undefined,
  domains: readonly string[],
): RequestHost {
  const host = AUTHORITY.exec(authority?.toLowerCase() ?? "")?.groups?.host?.replace(/\.$/, "");
  if (host === undefined) return { kind: "unknown" };
  if (LOOPBACK.has(host)) return { kind: "loopback" };
  const { endpointId, region, domain = "" } = ENDPOINT.exec(host)?.groups ?? {};
  if (endpointId === undefined || region === undefined) return { kind: "unknown" };
  if (!domains.includes(domain)) return { kind: "unknown" };
  return { kind: "endpoint", endpointId, region };
}

/** The server name that a host is asked for by TLS: none when it is an address. */
export function serverNameOf(authority: string | undefined): string {
  const host = AUTHORITY.exec(authority?.toLowerCase() ?? "")?.groups?.host ?? "";
  return isIP(host) !== 0 || host.startsWith("[") ? "" : host;
}

/** What follows the label in a region's endpoints, for clients to put behind `https://`: its own port need not be told. */
export function endpointAuthority(domain: string, port: number): (region: string) => string {
  const suffix = port === 443 ? domain : `${domain}:${port}`;
  return (region) => `lambda-microvm.${region}.${suffix}`;
}
