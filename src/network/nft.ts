// The text of torpor's nftables rules. Pure.
//
// In a slot's namespace, where no flush of the host's rules comes: translation between the slot's address and the guest's,
// the bounds that every slot has (ranges, addresses of the host, number and rate of connections, who may connect), and a
// chain that a slot without internet egress is closed with. They hold for the guest and for a build's processes alike.
// On the host, one table per data directory: what each slot may reach, and who may reach slots. Its rules match the
// slots' interface names by prefix, so a slot is denied everything from the moment its link exists; `internet` lists
// the slots that may do more. No rule of another table is touched. A verdict "accept" here cannot overrule another
// table's "drop": on a host whose own FORWARD policy is drop (Docker's, ufw's), its owner lets slots through with
//
//   iptables -I FORWARD -i tp-+ -j ACCEPT
//   iptables -I FORWARD -o tp-+ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
//
// (with Docker in chain DOCKER-USER), which opens nothing that this table does not allow too. Where the resolver is a
// server on the host itself and INPUT drops as well, `-I INPUT -i tp-+ -p udp --dport 53 -j ACCEPT` and the same for tcp.
// Tailscale drops what comes from 100.64.0.0/10 on any interface but its own: such a host needs another `slots.cidr`.
// A service that flushes everyone's rules (nftables.service on reload) takes this table with it; the pool puts it back.

import { DENIED_RANGES, type SlotPlan, TAP_NAME, UPLINK_NAME } from "./addresses.ts";
import type { Resolver } from "./resolver.ts";
import { GUEST_NETWORK } from "./slot.ts";

/** Every torpor slot on the host, of whatever data directory. */
const ANY_SLOT = '"tp-*"';
/**
 * Connections a slot may have open at once and begin, so that it cannot fill the host's connection table: closed ones no
 * longer count, but stay in the table for two minutes. Together at most 30,000, of the 65,536 that a small host has.
 */
const OPEN_CONNECTIONS = "ct count over 4096";
const NEW_CONNECTIONS = "limit rate over 200/second burst 2000 packets";
const DNS_QUERY = "meta l4proto { tcp, udp } th dport 53";
/** A reset ends a connect at once; ICMP errors are rate-limited, so the second of two would hang. */
const REFUSE = ["meta l4proto tcp reject with tcp reset", "reject with icmpx admin-prohibited"];

export interface HostTable {
  readonly name: string;
  /** Start of every slot interface's name. */
  readonly prefix: string;
  readonly slotCidr: string;
  /** Host users that may open connections to slots. */
  readonly serviceUids: readonly number[];
  readonly resolver: Resolver | undefined;
  /** Interfaces of the slots with internet egress. */
  readonly internet: readonly string[];
}

/** What a slot's own table knows of the host. */
export interface SlotSurroundings {
  readonly slotCidr: string;
  /** The host's own addresses, for those that are in no denied range. */
  readonly hostAddresses: readonly string[];
}

/** Name of the host table that belongs to the slots with this prefix. */
export function tableName(prefix: string): string {
  return `torpor_${prefix.slice("tp-".length, -1)}`;
}

/** One transaction that puts the table in place, whatever it was before. */
export function hostTableRules(table: HostTable): string {
  return [
    `table inet ${table.name}`,
    `delete table inet ${table.name}`,
    `table inet ${table.name} {`,
    ...set("internet", "ifname", table.internet.map(quote)),
    ...set("denied", "ipv4_addr", [...DENIED_RANGES, table.slotCidr], "flags interval; auto-merge"),
    ...fromGuestChain(table),
    ...forwardChains(table),
    ...inputChain(table),
    ...outputChain(table),
    ...translationChains(table),
    "}",
    "",
  ].join("\n");
}

/** One transaction that sets which of `changes`' interfaces have internet egress. */
export function internetChanges(table: string, changes: ReadonlyMap<string, boolean>): string {
  return [...changes]
    .flatMap(([link, isAllowed]) => {
      const element = `element inet ${table} internet { ${quote(link)} }`;
      // Deleting what is not there fails, so it is added first; nothing sees the state between.
      return isAllowed ? [`add ${element}`] : [`add ${element}`, `delete ${element}`];
    })
    .join("\n");
}

/** One transaction that removes the table, also when there is none. */
export function removeTableRules(table: string): string {
  return `table inet ${table}\ndelete table inet ${table}\n`;
}

/** The rules inside a slot's namespace. */
export function slotRules(
  { slot, hostAddress }: SlotPlan,
  { slotCidr, hostAddresses }: SlotSurroundings,
): string {
  const { guestAddress, gatewayAddress } = GUEST_NETWORK;
  const tap = quote(TAP_NAME);
  const uplink = quote(UPLINK_NAME);
  const denied = new Set([...DENIED_RANGES, slotCidr, ...hostAddresses]);
  return [
    "table inet slot {",
    ...set("denied", "ipv4_addr", [...denied], "flags interval; auto-merge"),
    ...outboundChains(hostAddress),
    ...chain("spoofed", "filter hook prerouting priority raw", "accept", [
      `iifname ${tap} ip saddr != ${guestAddress} counter drop`,
    ]),
    ...chain("towards", "nat hook prerouting priority dstnat", "accept", [
      `iifname ${uplink} ip daddr ${slot.address} dnat ip to ${guestAddress}`,
      `iifname ${tap} ip daddr ${gatewayAddress} ${DNS_QUERY} dnat ip to ${hostAddress}`,
    ]),
    ...chain("source", "nat hook postrouting priority srcnat", "accept", [
      `oifname ${tap} snat ip to ${gatewayAddress}`,
      `oifname ${uplink} snat ip to ${slot.address}`,
    ]),
    ...chain("forward", "filter hook forward priority filter", "drop", [
      "ct state established,related accept",
      "ct state invalid drop",
      // The host connects from its end of the link; packets of other machines keep their own address.
      `iifname ${uplink} oifname ${tap} ip saddr ${hostAddress} ct status dnat accept`,
      `iifname ${tap} oifname ${uplink} goto outbound`,
      ...REFUSE,
    ]),
    ...chain("input", "filter hook input priority filter", "drop", [
      "ct state established,related accept",
      // While an image is built its RUN steps live in here, and may talk to themselves.
      'iifname "lo" accept',
      ...REFUSE,
    ]),
    ...chain("output", "filter hook output priority filter", "drop", [
      'oifname "lo" accept',
      "ct state established,related accept",
      "ct state invalid drop",
      `oifname ${uplink} goto outbound`,
      ...REFUSE,
    ]),
    "}",
    "",
  ].join("\n");
}

/** The command that leaves a slot without egress, DNS included, for the rest of its life. */
export const CLOSE_SLOT = ["add", "rule", "inet", "slot", "closed", "goto", "refuse"] as const;

/** One chain for guest and build, so that they share one count. */
function outboundChains(hostAddress: string): string[] {
  return [
    ...subchain("refuse", REFUSE),
    ...subchain("closed", []),
    ...subchain("bounded", [
      // Before the count, which looks at every open connection.
      `${NEW_CONNECTIONS} goto refuse`,
      `${OPEN_CONNECTIONS} goto refuse`,
      "accept",
    ]),
    ...subchain("outbound", [
      "jump closed",
      `ip daddr ${hostAddress} ${DNS_QUERY} goto bounded`,
      "meta l4proto tcp ip daddr != @denied goto bounded",
      "goto refuse",
    ]),
  ];
}

/** Decides on the address the guest asked for, before anyone's translation can hide it. */
function fromGuestChain({ prefix }: HostTable): string[] {
  const dnsToGateway = `${DNS_QUERY} fib daddr . iif type local`;
  return chain("from_guest", "filter hook prerouting priority mangle", "accept", [
    `iifname != ${wildcard(prefix)} accept`,
    "meta nfproto != ipv4 drop",
    "fib saddr . iif oif missing drop",
    "ct state established,related accept",
    "ct state invalid drop",
    `iifname @internet ${dnsToGateway} accept`,
    "iifname @internet meta l4proto tcp ip daddr != @denied fib daddr type unicast accept",
    ...REFUSE,
  ]);
}

/** Decides again on where another table's translation may have sent it, and keeps other machines out of slots. */
function forwardChains({ prefix, resolver }: HostTable): string[] {
  return [
    ...chain("forward", "filter hook forward priority filter", "accept", [
      `iifname ${wildcard(prefix)} jump guest_forward`,
      `oifname ${wildcard(prefix)} ct state established,related accept`,
      `oifname ${wildcard(prefix)} reject with icmpx admin-prohibited`,
    ]),
    ...subchain("guest_forward", [
      // Paths with a smaller MTU than the guest's often lose the ICMP message that would say so.
      "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu",
      "ct state established,related accept",
      ...(resolver === undefined ? [] : [`${passedToResolver(resolver)} accept`]),
      `oifname ${ANY_SLOT} reject with icmpx admin-prohibited`,
      "ip daddr @denied reject with icmpx admin-prohibited",
    ]),
  ];
}

function inputChain({ prefix, resolver }: HostTable): string[] {
  return chain("input", "filter hook input priority filter", "accept", [
    `iifname != ${wildcard(prefix)} accept`,
    "ct state established,related accept",
    ...(resolver === undefined ? [] : [`${passedToResolver(resolver)} accept`]),
    ...REFUSE,
  ]);
}

/** Packets without a user are the kernel's own resets and errors: they match no skuid and pass. */
function outputChain({ prefix, serviceUids }: HostTable): string[] {
  return chain("output", "filter hook output priority filter", "accept", [
    `oifname != ${wildcard(prefix)} accept`,
    "ct state established,related accept",
    ...REFUSE.map((refuse) => `meta skuid != { ${serviceUids.join(", ")} } ${refuse}`),
  ]);
}

function translationChains({ prefix, resolver }: HostTable): string[] {
  const dns =
    resolver === undefined
      ? []
      : [
          `iifname @internet ${DNS_QUERY} fib daddr . iif type local dnat ip to ${resolver.address}`,
        ];
  // A server on loopback may answer loopback clients only.
  const dnsSource = resolver?.isLoopback
    ? [`iifname ${wildcard(prefix)} ip daddr ${resolver.address} snat ip to 127.0.0.1`]
    : [];
  return [
    ...chain("dns", "nat hook prerouting priority dstnat", "accept", dns),
    ...chain("dns_source", "nat hook input priority 100", "accept", dnsSource),
    ...chain("egress_source", "nat hook postrouting priority srcnat", "accept", [
      `iifname ${wildcard(prefix)} masquerade`,
    ]),
  ];
}

/** The original port cannot be forged: only `from_guest` lets an untranslated query to the gateway through. */
function passedToResolver(resolver: Resolver): string {
  return `ct status dnat ip daddr ${resolver.address} ${DNS_QUERY}`;
}

function chain(name: string, hook: string, policy: "accept" | "drop", rules: string[]): string[] {
  return subchain(name, [`type ${hook}; policy ${policy};`, ...rules]);
}

function subchain(name: string, lines: readonly string[]): string[] {
  return [`  chain ${name} {`, ...lines.map((line) => `    ${line}`), "  }"];
}

function set(name: string, type: string, elements: readonly string[], extra?: string): string[] {
  return [
    `  set ${name} {`,
    `    type ${type}`,
    ...(extra === undefined ? [] : extra.split("; ").map((line) => `    ${line}`)),
    ...(elements.length === 0 ? [] : [`    elements = { ${elements.join(", ")} }`]),
    "  }",
  ];
}

function wildcard(prefix: string): string {
  return quote(`${prefix}*`);
}

function quote(name: string): string {
  return `"${name}"`;
}
