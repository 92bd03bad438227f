// A slot is a network namespace with the tap of one VMM, joined to the host by a veth pair. Every guest has the
// same address and MAC inside its slot; the slot's own address, seen from the host, tells guests apart.

/** The guest's fixed network, equal in every slot, from IANA's IPv4 service continuity block (RFC 7335). */
export const GUEST_NETWORK = {
  guestAddress: "192.0.0.2",
  gatewayAddress: "192.0.0.1",
  prefixLength: 29,
  guestMac: "06:74:6f:72:70:02",
  gatewayMac: "06:74:6f:72:70:01",
} as const;

/** What a guest may reach. Nothing but the slot's gateway services (DNS) unless it says so. */
export interface EgressPolicy {
  /** TCP to public addresses (the managed INTERNET_EGRESS connector). */
  readonly internet: boolean;
}

export interface Slot {
  /** Host-wide number; also in every name made for the slot. */
  readonly index: number;
  /** Name under `/run/netns`. */
  readonly networkNamespace: string;
  readonly tapName: string;
  /** Address of the guest as seen from the host: any port reaches the same port of the guest. */
  readonly address: string;
  /** User and group for the VMM of this slot, used by no other slot. */
  readonly uid: number;
  readonly gid: number;
}

/** Leases slots and makes new ones ahead. Disposing it removes every slot that is not leased. */
export interface SlotPool extends AsyncDisposable {
  /** A slot with `egress` in force. Rejects NO_CAPACITY when the address range or `maxSlots` is used up. */
  lease(egress: EgressPolicy, signal: AbortSignal): Promise<Slot>;
  /**
   * Gives a slot back; its namespace is torn down, never reused by another guest. Safe to call twice. Rejects CONFLICT with
   * `details.pids` while a process still runs inside: the slot then stays leased, and nothing is killed.
   */
  release(slot: Slot): Promise<void>;
  /** Leases the slot that an earlier service process gave to a VMM that still runs; undefined when it is gone. Its egress stays as it was. */
  adopt(index: number): Promise<Slot | undefined>;
  /** Removes every empty slot of this data directory that is neither leased nor adopted. Call once at start, after `adopt`. */
  reclaim(): Promise<void>;
  /** Slots in use, and slots ready or in the making. */
  usage(): { readonly leased: number; readonly ready: number };
}
