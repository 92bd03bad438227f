// The pool of network slots: made ahead, leased once, removed on release. What a slot consists of is in namespaces.ts
// (kernel objects), nft.ts (rules) and registry.ts (the host-wide claim of its number).
//
// The host needs root, iproute2, nftables, /dev/net/tun and IPv4 forwarding, which the pool switches on. See nft.ts for what a
// host with a firewall of its own has to let through.

import { randomInt } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { hasErrorCode, isServiceError, messageOf, ServiceError } from "../errors.ts";
import type { Log } from "../lib/log.ts";
import { linkPrefix, parseSlotRange, slotCapacity, type SlotPlan } from "./addresses.ts";
import { createHostFirewall } from "./firewall.ts";
import { createGate } from "./gate.ts";
import {
  claimSlot,
  closeSlot,
  makeSlot,
  refuseUsedRange,
  removeSlot,
  type SlotMaking,
} from "./making.ts";
import { listSlotIndexes, setHostLinkOptions, slotExists } from "./namespaces.ts";
import { tableName } from "./nft.ts";
import { reclaimSlots, sweepUnclaimed } from "./reclaim.ts";
import { isOwnerAlive, ownClaim, readClaim, replaceClaim } from "./registry.ts";
import type { EgressPolicy, Slot, SlotPool } from "./slot.ts";

/** More at once only wait for each other: the kernel changes interfaces one at a time. */
const CONCURRENT_CHANGES = 2;
/** Making a slot takes CPU that the VMM which was just given one needs more. */
const REFILL_DELAY_MS = 400;
/** How often the table, the resolver and unclaimed leftovers are looked at. */
const UPKEEP_INTERVAL_MS = 10_000;
/** A process that was killed leaves its namespace a moment after its parent hears of it. */
const OCCUPIED_GRACE_MS = 1_000;
const OCCUPIED_POLL_MS = 50;

export interface SlotPoolDeps {
  readonly log: Log;
}

export interface SlotPoolOptions {
  readonly dataDir: string;
  /** IPv4 range of the slots' host-side addresses, four addresses a slot. */
  readonly cidr: string;
  /** Slots kept made ahead. */
  readonly ready: number;
  /** Most slots at once, ready ones included. */
  readonly max: number;
  /** User id of slot 0. */
  readonly uidBase: number;
}

/**
 * Sets the host up and starts making slots. Rejects SETUP_FAILED on a machine that cannot have them, VALIDATION_FAILED for a
 * bad range. Slots of an earlier process stay as they are until `adopt` and `reclaim`.
 */
export async function createSlotPool(
  deps: SlotPoolDeps,
  options: SlotPoolOptions,
): Promise<SlotPool> {
  const { dataDir, uidBase } = options;
  const range = parseSlotRange(options.cidr);
  const numbering = { range, prefix: linkPrefix(dataDir), uidBase };
  const uid = process.getuid?.();
  if (uid !== 0) throw new ServiceError("SETUP_FAILED", "Cannot make network slots: not root");
  refuseUsedRange(numbering);
  try {
    await enableForwarding(deps.log);
    const firewall = await createHostFirewall(deps, {
      name: tableName(numbering.prefix),
      prefix: numbering.prefix,
      slotCidr: range.cidr,
      serviceUids: [uid],
    });
    return new NamespaceSlotPool({ log: deps.log, dataDir, numbering, firewall }, options);
  } catch (error) {
    throw new ServiceError("SETUP_FAILED", `Cannot set up the network: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function enableForwarding(log: Log): Promise<void> {
  const setting = "/proc/sys/net/ipv4/ip_forward";
  if ((await readFile(setting, "utf8")).trim() === "1") return;
  await writeFile(setting, "1");
  log.info("Switched on IPv4 forwarding", { setting });
}

/**
 * INVARIANTS: an index is in `#known` from its claim until the slot is gone; every promise in `#stock` has a handler; a slot
 * is in `#stock` or in `#leased`, never in both.
 */
class NamespaceSlotPool implements SlotPool {
  readonly #making: SlotMaking;
  readonly #options: SlotPoolOptions;
  readonly #stock = new Set<Promise<SlotPlan>>();
  readonly #leased = new Map<number, SlotPlan>();
  readonly #removing = new Map<number, Promise<void>>();
  readonly #known = new Map<number, SlotPlan>();
  readonly #makingGate = createGate(CONCURRENT_CHANGES);
  readonly #removalGate = createGate(CONCURRENT_CHANGES);
  readonly #upkeepTimer: NodeJS.Timeout;
  #upkeep: Promise<void> = Promise.resolve();
  /** Slots in the making, ready or leased. */
  #count = 0;
  /** Numbers are given out in turn, so that the host's old connections of an address have long ended when it comes back. */
  #nextIndex: number;
  #refillTimer: NodeJS.Timeout | undefined;
  #isReclaimed = false;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  constructor(making: SlotMaking, options: SlotPoolOptions) {
    this.#making = making;
    this.#options = options;
    this.#nextIndex = randomInt(slotCapacity(making.numbering.range));
    this.#upkeepTimer = setInterval(() => {
      this.#upkeep = this.#upkeep.then(() => this.#keepUp());
    }, UPKEEP_INTERVAL_MS).unref();
    this.#refill();
  }

  usage(): { leased: number; ready: number } {
    return { leased: this.#leased.size, ready: this.#stock.size };
  }

  async lease(egress: EgressPolicy, signal: AbortSignal): Promise<Slot> {
    const plan = await this.#take(signal);
    this.#leased.set(plan.slot.index, plan);
    this.#refillTimer ??= setTimeout(() => this.#refill(), REFILL_DELAY_MS).unref();
    try {
      // Ready slots have internet egress: the common lease changes nothing and starts no program.
      if (!egress.internet) await closeSlot(this.#making, plan);
      signal.throwIfAborted();
    } catch (error) {
      await this.release(plan.slot);
      throw error;
    }
    return plan.slot;
  }

  release({ index }: Slot): Promise<void> {
    const plan = this.#leased.get(index);
    if (plan === undefined) return this.#removing.get(index) ?? Promise.resolve();
    this.#leased.delete(index);
    return this.#remove(plan);
  }

  async adopt(index: number): Promise<Slot | undefined> {
    const leased = this.#leased.get(index);
    if (leased !== undefined) return leased.slot;
    const { dataDir, log } = this.#making;
    const claim = await readClaim(index);
    if (claim?.dataDir !== dataDir || this.#known.has(index)) return undefined;
    if (claim.pid !== process.pid && (await isOwnerAlive(claim))) {
      log.warn("Cannot adopt a slot of a service that still runs", { slot: index, pid: claim.pid });
      return undefined;
    }
    if (!(await slotExists(claim.plan))) return undefined;
    await replaceClaim(await ownClaim(dataDir, claim.plan));
    this.#known.set(index, claim.plan);
    this.#leased.set(index, claim.plan);
    this.#count += 1;
    return claim.plan.slot;
  }

  async reclaim(): Promise<void> {
    await reclaimSlots(this.#making, (index) => this.#known.has(index));
    this.#isReclaimed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#upkeepTimer);
    clearTimeout(this.#refillTimer);
    await this.#upkeep;
    const stock = [...this.#stock];
    this.#stock.clear();
    const made = await Promise.allSettled(stock);
    const plans = made.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const removals = await Promise.allSettled(plans.map((plan) => this.#remove(plan)));
    for (const removal of removals.filter(({ status }) => status === "rejected")) {
      this.#making.log.warn("Cannot remove a ready slot: the next start will", { removal });
    }
    await Promise.allSettled(this.#removing.values());
    await this.#removeTableIfLast();
  }

  /** A slot from the stock, or a new one. Whatever the caller does not get goes back. */
  async #take(signal: AbortSignal): Promise<SlotPlan> {
    for (;;) {
      signal.throwIfAborted();
      const stocked = this.#takeOldest();
      const plan = stocked ?? this.#startMaking();
      try {
        return await unlessAborted(plan, signal);
      } catch (error) {
        if (signal.aborted) {
          this.#putBack(plan);
          signal.throwIfAborted();
        }
        // Making ahead failed and was logged: what a try made for this caller says counts.
        if (stocked === undefined && !(await this.#awaitsRoom(error))) throw error;
      }
    }
  }

  #takeOldest(): Promise<SlotPlan> | undefined {
    const oldest = this.#stock.values().next().value;
    if (oldest !== undefined) this.#stock.delete(oldest);
    return oldest;
  }

  /** Counts the slot at once, so that concurrent callers cannot exceed the limit. */
  #startMaking(): Promise<SlotPlan> {
    if (this.#isClosed) {
      return Promise.reject(
        new ServiceError("NO_CAPACITY", "Cannot make a network slot: stopping"),
      );
    }
    if (this.#count >= this.#options.max) {
      return Promise.reject(
        new ServiceError(
          "NO_CAPACITY",
          `Cannot lease a network slot: all ${this.#count} are in use`,
        ),
      );
    }
    this.#count += 1;
    return this.#makingGate(() => this.#make()).catch((error: unknown) => {
      this.#count -= 1;
      throw error;
    });
  }

  async #make(): Promise<SlotPlan> {
    const startIndex = this.#nextIndex;
    const plan = await claimSlot(this.#making, startIndex);
    const { index } = plan.slot;
    this.#known.set(index, plan);
    this.#nextIndex = index + 1;
    try {
      await makeSlot(this.#making, plan);
      return plan;
    } catch (error) {
      this.#known.delete(index);
      throw error;
    }
  }

  #refill(): void {
    this.#refillTimer = undefined;
    const { ready, max } = this.#options;
    while (!this.#isClosed && this.#stock.size < ready && this.#count < max) {
      this.#addToStock(this.#startMaking());
    }
  }

  #addToStock(making: Promise<SlotPlan>): void {
    this.#stock.add(making);
    making.catch((error: unknown) => {
      this.#stock.delete(making);
      this.#making.log.warn("Cannot make a network slot ahead", { error });
    });
  }

  #putBack(making: Promise<SlotPlan>): void {
    if (!this.#isClosed && this.#stock.size < this.#options.ready) {
      this.#addToStock(making);
      return;
    }
    making
      .then((plan) => this.#remove(plan))
      .catch((error: unknown) =>
        this.#making.log.warn("Cannot remove a slot that nobody waits for", { error }),
      );
  }

  async #remove(plan: SlotPlan): Promise<void> {
    const { index } = plan.slot;
    const removal = this.#removalGate(() => this.#removeWhenEmpty(plan));
    this.#removing.set(index, removal);
    try {
      await removal;
    } catch (error) {
      // Still there, so still leased: the caller may try again when what runs in it has ended.
      this.#leased.set(index, plan);
      throw error;
    } finally {
      this.#removing.delete(index);
    }
    this.#known.delete(index);
    this.#count -= 1;
    if (this.#isClosed) await this.#removeTableIfLast();
  }

  async #removeWhenEmpty(plan: SlotPlan): Promise<void> {
    const deadline = performance.now() + OCCUPIED_GRACE_MS;
    for (;;) {
      try {
        await removeSlot(this.#making, plan);
        return;
      } catch (error) {
        if (!isServiceError(error, "CONFLICT") || performance.now() > deadline) throw error;
        await delay(OCCUPIED_POLL_MS);
      }
    }
  }

  /** Waits for a slot that is on its way out to make room; false when `error` is not about room or none will come. */
  async #awaitsRoom(error: unknown): Promise<boolean> {
    if (!isServiceError(error, "NO_CAPACITY") || this.#removing.size === 0) return false;
    await Promise.race(
      [...this.#removing.values()].map((removal) => Promise.allSettled([removal])),
    );
    return true;
  }

  /** The table goes with the last slot, also one that a VMM without a service runs in. */
  async #removeTableIfLast(): Promise<void> {
    const { firewall, numbering } = this.#making;
    if (this.#known.size > 0 || (await listSlotIndexes(numbering.prefix)).size > 0) return;
    await firewall.remove();
  }

  async #keepUp(): Promise<void> {
    try {
      if (await this.#making.firewall.refresh()) await this.#renewLinkOptions();
      if (this.#isReclaimed) await sweepUnclaimed(this.#making, (index) => this.#known.has(index));
    } catch (error) {
      this.#making.log.warn("Cannot look after the network slots", { error });
    }
  }

  async #renewLinkOptions(): Promise<void> {
    const reachesLoopback = this.#making.firewall.resolver()?.isLoopback ?? false;
    for (const { hostLink } of this.#known.values()) {
      try {
        await setHostLinkOptions(hostLink, { reachesLoopback });
      } catch (error) {
        // Not made yet, or gone by now.
        if (!hasErrorCode(error, "ENOENT")) throw error;
      }
    }
  }
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
