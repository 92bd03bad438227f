// Sets of IP addresses in CIDR notation.

import { BlockList, isIPv4 } from "node:net";

/** Whether an address, as sockets tell it, is in one of the ranges. Throws RangeError for what is no range. */
export function addressesIn(cidrs: readonly string[]): (address: string | undefined) => boolean {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = "", prefix = ""] = cidr.split("/");
    list.addSubnet(network, Number(prefix), isIPv4(network) ? "ipv4" : "ipv6");
  }
  return (given) => {
    if (given === undefined) return false;
    const address = plainAddress(given);
    return list.check(address, isIPv4(address) ? "ipv4" : "ipv6");
  };
}

/** A socket of both families shows IPv4 addresses as mapped ones. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}
