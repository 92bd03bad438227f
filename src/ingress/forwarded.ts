// What an application is told of its client in `X-Forwarded-*`, where proxies before the ingress are named: theirs is
// believed and gone on with, anybody else's is replaced by what the ingress knows.

import { isIP } from "node:net";
import { plainAddress } from "../lib/cidrs.ts";
import { fieldValues, type RawHeaders, tellsOrigin } from "./headers.ts";

export interface ForwardedRules {
  /** Whose word about its client counts. */
  readonly isProxy: (address: string | undefined) => boolean;
}

export interface ForwardedRequest {
  readonly fields: RawHeaders;
  /** The client behind the proxies that are believed. */
  readonly clientAddress: string | undefined;
}

const CHAIN = "x-forwarded-for";

/**
 * The header as the application gets it, and who the client is. `peer` is the connection's other end; undefined for one that
 * is gone, which is believed as little as any.
 */
export function forwardedRequest(
  raw: RawHeaders,
  peer: string | undefined,
  { isProxy }: ForwardedRules,
): ForwardedRequest {
  if (peer === undefined || !isProxy(peer)) {
    const fields = without(raw, tellsOrigin);
    if (peer !== undefined) fields.push("X-Forwarded-For", peer);
    fields.push("X-Forwarded-Proto", "https");
    return { fields, clientAddress: peer };
  }
  const chain = fieldValues(raw, CHAIN)
    .flatMap((value) => value.split(","))
    .map((address) => address.trim())
    .filter((address) => address !== "");
  // Proxies spell with hyphens; what has an underscore passed them unseen.
  const isForged = (name: string) => name.includes("_") && tellsOrigin(name);
  const fields = without(raw, (name) => name.toLowerCase() === CHAIN || isForged(name));
  fields.push("X-Forwarded-For", [...chain, peer].join(", "));
  return { fields, clientAddress: clientOf(chain, isProxy) ?? peer };
}

/** From the right, where each proxy has added whom it heard from: the first that is no proxy of ours. */
function clientOf(
  chain: readonly string[],
  isProxy: ForwardedRules["isProxy"],
): string | undefined {
  for (const entry of chain.toReversed()) {
    const address = plainAddress(entry.replace(/^\[(.*)\](?::\d+)?$/, "$1"));
    // What is no address was made up by whoever came before the last proxy: its word ends here.
    // So is a zone, which may be any text of any length, and says nothing to anybody but its own host.
    if (isIP(address) === 0 || address.includes("%")) return undefined;
    if (!isProxy(address)) return address;
  }
  return undefined;
}

function without(raw: RawHeaders, isDropped: (name: string) => boolean): string[] {
  const fields: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? "";
    if (!isDropped(name)) fields.push(name, raw[index + 1] ?? "");
  }
  return fields;
}
