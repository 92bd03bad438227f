// One slot from a free number to a working namespace and back. The claim comes first and goes last.

import { networkInterfaces } from "node:os";
import { isServiceError, messageOf, ServiceError } from "../errors.ts";
import type { Log } from "../lib/log.ts";
import { DENIED_RANGES, indexOfLink, parseRange, planSlot, rangesOverlap } from "./addresses.ts";
import { slotCapacity, type SlotNumbering, type SlotPlan } from "./addresses.ts";
import type { HostFirewall } from "./firewall.ts";
import type { Slot } from "./slot.ts";
import { closeNamespace, makeNamespace, processesIn, removeNamespace } from "./namespaces.ts";
import {
  addClaim,
  claimedIndexes,
  dropClaim,
  isOwnerAlive,
  ownClaim,
  readClaim,
  takeClaimAway,
} from "./registry.ts";

export interface SlotMaking {
  readonly log: Log;
  readonly dataDir: string;
  readonly numbering: SlotNumbering;
  readonly firewall: HostFirewall;
}

/**
 * Claims the first free number from `startIndex` on, around the range. Rejects NO_CAPACITY when every number is taken by a
 * service that lives or a VMM that runs.
 */
export async function claimSlot(making: SlotMaking, startIndex: number): Promise<SlotPlan> {
  const { numbering, dataDir } = making;
  const capacity = slotCapacity(numbering.range);
  const order = Array.from({ length: capacity }, (_, step) => (startIndex + step) % capacity);
  const taken = await claimedIndexes();
  const claim = async (index: number) => {
    const plan = planSlot(numbering, index);
    return (await addClaim(await ownClaim(dataDir, plan))) ? plan : undefined;
  };
  for (const index of order.filter((candidate) => !taken.has(candidate))) {
    const plan = await claim(index);
    if (plan !== undefined) return plan;
  }
  for (const index of order) {
    if (!(await evictDeadClaim(making, index))) continue;
    const plan = await claim(index);
    if (plan !== undefined) return plan;
  }
  throw new ServiceError(
    "NO_CAPACITY",
    `Cannot make a network slot: all ${capacity} of ${numbering.range.cidr} are in use`,
  );
}

/** Makes what a claimed plan says, with internet egress. On failure removes everything, the claim too. */
export async function makeSlot(making: SlotMaking, plan: SlotPlan): Promise<void> {
  const { firewall, numbering } = making;
  try {
    const reachesLoopback = firewall.resolver()?.isLoopback ?? false;
    const { cidr: slotCidr } = numbering.range;
    await makeNamespace(plan, { reachesLoopback, slotCidr, hostAddresses: hostAddresses() });
    await firewall.setInternet(plan.hostLink, true);
  } catch (error) {
    await removeSlot(making, plan).catch((removal: unknown) =>
      making.log.warn("Cannot remove a half-made slot: reclaim will", {
        slot: plan.slot.index,
        error: messageOf(removal),
      }),
    );
    if (isServiceError(error)) throw error;
    throw new ServiceError("INTERNAL", `Cannot make network slot ${plan.slot.index}`, {
      cause: error,
    });
  }
}

/** Takes the egress that `makeSlot` gave, in the slot and on the host. There is no way back. */
export async function closeSlot({ firewall }: SlotMaking, plan: SlotPlan): Promise<void> {
  await closeNamespace(plan);
  await firewall.setInternet(plan.hostLink, false);
}

/** Removes namespace, link, firewall state and claim, each if it is there. Rejects CONFLICT while a process is inside. */
export async function removeSlot(
  { firewall, dataDir }: SlotMaking,
  { slot, hostLink }: SlotPlan,
): Promise<void> {
  await refuseOccupied(slot);
  await removeNamespace({ slot, hostLink });
  await firewall.setInternet(hostLink, false);
  await dropClaim(slot.index, dataDir);
}

/** Rejects CONFLICT with the ids of the processes inside: ending them is for who started them. */
export async function refuseOccupied({ networkNamespace, index }: Slot): Promise<void> {
  const pids = await processesIn(networkNamespace);
  if (pids.length === 0) return;
  throw new ServiceError("CONFLICT", `Cannot remove network slot ${index}: a process runs in it`, {
    details: { pids },
  });
}

/** Rejects SETUP_FAILED when the machine uses addresses of the range for something else than these slots. */
export function refuseUsedRange(numbering: SlotNumbering): void {
  const { range } = numbering;
  for (const [link, addresses = []] of Object.entries(networkInterfaces())) {
    for (const { family, address } of addresses) {
      if (family !== "IPv4" || !rangesOverlap(range, parseRange(`${address}/32`))) continue;
      const index = indexOfLink(link.slice(0, numbering.prefix.length), link);
      const isSlot = link.startsWith("tp-") && index !== undefined;
      if (isSlot && planSlot(numbering, index).hostAddress === address) continue;
      throw new ServiceError(
        "SETUP_FAILED",
        `Cannot use ${range.cidr} for network slots: interface "${link}" has ${address}; choose another range for slots.cidr`,
      );
    }
  }
}

/** Without those in denied ranges, such as the ends of other slots: there may be thousands. */
function hostAddresses(): string[] {
  const denied = DENIED_RANGES.map((range) => parseRange(range));
  return Object.values(networkInterfaces())
    .flatMap((addresses = []) => addresses)
    .filter(({ family }) => family === "IPv4")
    .map(({ address }) => address)
    .filter((address) => {
      const range = parseRange(`${address}/32`);
      return !denied.some((other) => rangesOverlap(range, other));
    });
}

/** Frees a number whose service died and left nothing that runs: its own reclaim may never come. */
async function evictDeadClaim(making: SlotMaking, index: number): Promise<boolean> {
  const claim = await readClaim(index);
  if (claim === undefined || claim.dataDir === making.dataDir || (await isOwnerAlive(claim))) {
    return false;
  }
  if ((await processesIn(claim.plan.slot.networkNamespace)).length > 0) return false;
  if (!(await takeClaimAway(index))) return false;
  making.log.info("Taking over a slot number of a service that is gone", {
    slot: index,
    owner: claim.dataDir,
  });
  await removeNamespace(claim.plan);
  return true;
}
