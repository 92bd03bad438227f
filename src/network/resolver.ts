// Which DNS server the host uses. Guests ask their gateway, and the firewall passes that on to this server: there is no
// proxy process. A resolver that answers on loopback only (dnsmasq, unbound) is reached there; systemd-resolved's stub takes
// packets from the loopback device alone, so its upstream servers are used instead.

import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { hasErrorCode } from "../errors.ts";

export const RESOLV_CONF = "/etc/resolv.conf";
const RESOLVED_UPSTREAMS = "/run/systemd/resolve/resolv.conf";
const RESOLVED_STUBS = ["127.0.0.53", "127.0.0.54"];

/** The host's DNS server. One: a guest that retries asks the same one again. */
export interface Resolver {
  readonly address: string;
  readonly isLoopback: boolean;
}

/** Reads the host's present resolver; undefined when it has none that IPv4 reaches. */
export async function readResolver(): Promise<Resolver | undefined> {
  return chooseResolver(await readIfExists(RESOLV_CONF), await readIfExists(RESOLVED_UPSTREAMS));
}

/** Picks the server from the texts of resolv.conf and of systemd-resolved's list of upstream servers. */
export function chooseResolver(
  resolvConf: string,
  resolvedUpstreams: string,
): Resolver | undefined {
  const servers = nameservers(resolvConf);
  // As the C library does: no server named means the one on this machine.
  const candidates = servers.length === 0 ? ["127.0.0.1"] : servers.filter((name) => isIPv4(name));
  const address = candidates.find((name) => !RESOLVED_STUBS.includes(name));
  if (address !== undefined) return { address, isLoopback: address.startsWith("127.") };
  if (candidates.length === 0) return undefined;
  const upstream = nameservers(resolvedUpstreams).find(
    (name) => isIPv4(name) && !name.startsWith("127."),
  );
  return upstream === undefined ? undefined : { address: upstream, isLoopback: false };
}

function nameservers(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*nameserver\s+(\S+)/.exec(line);
    return match?.[1] === undefined ? [] : [match[1]];
  });
}

async function readIfExists(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return "";
    throw error;
  }
}
