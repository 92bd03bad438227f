// Finds and removes slots that no pool answers for: those of a service that died, and namespaces without a claim.

import { isServiceError, messageOf } from "../errors.ts";
import { planSlot } from "./addresses.ts";
import { refuseOccupied, removeSlot, type SlotMaking } from "./making.ts";
import { listSlotIndexes, removeNamespace } from "./namespaces.ts";
import {
  type Claim,
  claimedIndexes,
  isOwnerAlive,
  readClaim,
  removeTemporaries,
} from "./registry.ts";

/** Removes every slot of the data directory but those that `isKnown` and those of another living service. */
export async function reclaimSlots(
  making: SlotMaking,
  isKnown: (index: number) => boolean,
): Promise<void> {
  await removeTemporaries();
  for (const index of await claimedIndexes()) {
    const claim = await readClaim(index);
    if (claim?.dataDir !== making.dataDir || isKnown(index)) continue;
    if (await isForeign(claim)) {
      making.log.warn("Another running service uses this data directory: its slot stays", {
        slot: index,
        pid: claim.pid,
      });
      continue;
    }
    await removeLeftover(making, index, () => removeSlot(making, claim.plan));
  }
  await sweepUnclaimed(making, isKnown);
}

/**
 * Removes namespaces and links of the data directory that nobody claims: a program that a dying service had started may
 * finish its work after `reclaimSlots` looked.
 */
export async function sweepUnclaimed(
  making: SlotMaking,
  isKnown: (index: number) => boolean,
): Promise<void> {
  const present = await listSlotIndexes(making.numbering.prefix);
  if (present.size === 0) return;
  const claimed = await claimedIndexes();
  for (const index of present) {
    if (claimed.has(index) || isKnown(index)) continue;
    const plan = planSlot(making.numbering, index);
    await removeLeftover(making, index, async () => {
      await refuseOccupied(plan.slot);
      await removeNamespace(plan);
    });
  }
}

async function removeLeftover(
  { log }: SlotMaking,
  slot: number,
  remove: () => Promise<void>,
): Promise<void> {
  try {
    await remove();
    log.info("Removed a slot that an earlier service left", { slot });
  } catch (error) {
    // One that cannot go must not keep the others; it is tried again at the next start.
    log.warn("Cannot remove a slot that an earlier service left", {
      slot,
      error: messageOf(error),
      ...(isServiceError(error) ? error.details : {}),
    });
  }
}

async function isForeign(claim: Claim): Promise<boolean> {
  return claim.pid !== process.pid && (await isOwnerAlive(claim));
}
