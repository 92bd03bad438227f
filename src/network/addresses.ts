// From a slot's number to everything that is named or numbered after it. Pure.

import { createHash } from "node:crypto";
import { ServiceError } from "../errors.ts";
import type { Slot } from "./slot.ts";

/** Device that the VMM opens inside the slot's namespace. */
export const TAP_NAME = "tap0";
/** The namespace's end of the veth pair. */
export const UPLINK_NAME = "uplink";
/** MACs of the two ends: fixed, because each pair is a wire of its own, and known, so that nothing waits for ARP. */
export const HOST_LINK_MAC = "06:74:6f:72:70:04";
export const UPLINK_MAC = "06:74:6f:72:70:03";
/** A slot takes a /30: the host's end, the slot's end, and two that the subnet itself uses. */
export const SLOT_PREFIX_LENGTH = 30;
const SLOT_SPAN = 2 ** (32 - SLOT_PREFIX_LENGTH);
const LARGEST_INDEX = 99_999;

/** What guests may not reach, unless a connector allows it. Documentation ranges are public on purpose: test networks route through them. */
export const DENIED_RANGES = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
] as const;

/** Ranges that a slot's address may not come from: the guest's own, and those that the kernel does not route. */
const UNUSABLE_RANGES = ["0.0.0.0/8", "127.0.0.0/8", "192.0.0.0/24", "224.0.0.0/3"] as const;

/** An IPv4 range in numbers. */
export interface AddressRange {
  readonly cidr: string;
  readonly first: number;
  readonly last: number;
}

/** Everything that making and removing a slot needs; stored in the slot's claim, so that it survives the service. */
export interface SlotPlan {
  readonly slot: Slot;
  /** The host's end of the veth pair; named as the namespace. */
  readonly hostLink: string;
  readonly hostAddress: string;
}

/** Reads `a.b.c.d/n`. Rejects VALIDATION_FAILED unless it is a network address with 8 to 30 bits. */
export function parseRange(cidr: string): AddressRange {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr);
  const bytes = (match?.slice(1, 5) ?? []).map(Number);
  const bits = Number(match?.[5]);
  const isNumeric = match !== null && bytes.every((byte) => byte <= 255) && bits <= 32;
  if (!isNumeric) {
    throw new ServiceError(
      "VALIDATION_FAILED",
      `Cannot use "${cidr}" as address range: not a.b.c.d/n`,
    );
  }
  const first = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const size = 2 ** (32 - bits);
  if (first % size !== 0) {
    throw new ServiceError(
      "VALIDATION_FAILED",
      `Cannot use "${cidr}" as address range: bits beyond the prefix are set`,
    );
  }
  return { cidr, first, last: first + size - 1 };
}

/** Reads the range that slot addresses come from. Rejects VALIDATION_FAILED for a range that slots cannot use. */
export function parseSlotRange(cidr: string): AddressRange {
  const range = parseRange(cidr);
  const size = range.last - range.first + 1;
  if (size < SLOT_SPAN || size > 2 ** 24) {
    throw new ServiceError(
      "VALIDATION_FAILED",
      `Cannot use "${cidr}" for slots: prefix must be 8 to ${SLOT_PREFIX_LENGTH} bits long`,
    );
  }
  const clash = UNUSABLE_RANGES.find((other) => rangesOverlap(range, parseRange(other)));
  if (clash !== undefined) {
    throw new ServiceError(
      "VALIDATION_FAILED",
      `Cannot use "${cidr}" for slots: overlaps ${clash}`,
    );
  }
  return range;
}

/** How many slots fit into a range. */
export function slotCapacity(range: AddressRange): number {
  return Math.min(Math.floor((range.last - range.first + 1) / SLOT_SPAN), LARGEST_INDEX + 1);
}

/** True when the two have an address in common. */
export function rangesOverlap(one: AddressRange, other: AddressRange): boolean {
  return one.first <= other.last && other.first <= one.last;
}

/** The prefix of every name made for a data directory; short, because an interface name has 15 characters. */
export function linkPrefix(dataDir: string): string {
  return `tp-${createHash("sha256").update(dataDir).digest("hex").slice(0, 6)}-`;
}

/** The slot number in a name that starts with `prefix`; undefined for a name that is not a slot's. */
export function indexOfLink(prefix: string, name: string): number | undefined {
  if (!name.startsWith(prefix)) return undefined;
  const digits = name.slice(prefix.length);
  return /^(0|[1-9]\d{0,4})$/.test(digits) ? Number(digits) : undefined;
}

export interface SlotNumbering {
  readonly range: AddressRange;
  readonly prefix: string;
  readonly uidBase: number;
}

/** Names, addresses and uid of one slot. `index` must be below `slotCapacity(range)`. */
export function planSlot({ range, prefix, uidBase }: SlotNumbering, index: number): SlotPlan {
  const name = `${prefix}${index}`;
  const network = range.first + index * SLOT_SPAN;
  return {
    slot: {
      index,
      networkNamespace: name,
      tapName: TAP_NAME,
      address: formatAddress(network + 2),
      uid: uidBase + index,
      gid: uidBase + index,
    },
    hostLink: name,
    hostAddress: formatAddress(network + 1),
  };
}

/** Dotted form of a 32-bit number. */
export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}
