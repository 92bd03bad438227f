// Keeps the host's table of nft.ts in force: which slots have internet egress, which resolver the host has. The memory of
// this process is the truth about slots; the kernel's copy outlives it and is read back once, at start.

import { z } from "zod";
import { messageOf } from "../errors.ts";
import type { Log } from "../lib/log.ts";
import { hostTableRules, type HostTable, internetChanges, removeTableRules } from "./nft.ts";
import { readResolver, type Resolver } from "./resolver.ts";
import { runTool } from "./tools.ts";

const chainList = z.object({
  nftables: z.array(
    z.object({
      chain: z
        .object({
          family: z.string(),
          table: z.string(),
          name: z.string(),
          type: z.string().optional(),
          hook: z.string().optional(),
          policy: z.string().optional(),
        })
        .optional(),
    }),
  ),
});
const setList = z.object({
  nftables: z.array(
    z.object({ set: z.object({ elem: z.array(z.string()).default([]) }).optional() }),
  ),
});

export type HostFirewallOptions = Pick<HostTable, "name" | "prefix" | "slotCidr" | "serviceUids">;

export interface HostFirewall {
  /** The resolver that guests are passed on to. */
  resolver(): Resolver | undefined;
  /** Allows or denies internet egress; in force on return. Rejects INTERNAL. */
  setInternet(hostLink: string, isAllowed: boolean): Promise<void>;
  /** Puts the table back if someone removed it or the host's resolver changed; true when it did. */
  refresh(): Promise<boolean>;
  /** Removes the table. */
  remove(): Promise<void>;
}

/** Installs the host's table, keeping what it allowed before. Warns about a forward policy that will get in the way. */
export async function createHostFirewall(
  deps: { readonly log: Log },
  options: HostFirewallOptions,
): Promise<HostFirewall> {
  const chains = await listChains();
  warnOfForwardDrop(deps.log, chains, options.prefix);
  const hasTable = chains.some((chain) => chain.table === options.name);
  const allowed = new Set(hasTable ? await readInternet(options.name) : []);
  const firewall = new NftFirewall(deps.log, options, allowed, await readResolver());
  await firewall.install();
  return firewall;
}

class NftFirewall implements HostFirewall {
  readonly #log: Log;
  readonly #options: HostFirewallOptions;
  readonly #allowed: Set<string>;
  #resolver: Resolver | undefined;
  #pending = new Map<string, boolean>();
  #nextFlush: Promise<void> | undefined;
  /** INVARIANT: one transaction at a time, so that none is built from what another is changing. */
  #lastChange: Promise<void> = Promise.resolve();

  constructor(
    log: Log,
    options: HostFirewallOptions,
    allowed: Set<string>,
    resolver: Resolver | undefined,
  ) {
    this.#log = log;
    this.#options = options;
    this.#allowed = allowed;
    this.#resolver = resolver;
  }

  resolver(): Resolver | undefined {
    return this.#resolver;
  }

  setInternet(hostLink: string, isAllowed: boolean): Promise<void> {
    if (isAllowed) this.#allowed.add(hostLink);
    else this.#allowed.delete(hostLink);
    this.#pending.set(hostLink, isAllowed);
    // Changes that come while a transaction runs share the next one.
    this.#nextFlush ??= this.#inTurn(() => this.#flush());
    return this.#nextFlush;
  }

  async refresh(): Promise<boolean> {
    const resolver = await readResolver();
    const isSame = resolver?.address === this.#resolver?.address;
    const chains = await listChains();
    if (isSame && chains.some((chain) => chain.table === this.#options.name)) return false;
    this.#log.info("Restoring the host's firewall table", {
      table: this.#options.name,
      resolver: resolver?.address,
    });
    this.#resolver = resolver;
    await this.install();
    return true;
  }

  async install(): Promise<void> {
    if (this.#resolver === undefined) {
      this.#log.warn("The host names no DNS server that guests can use: names will not resolve");
    }
    await this.#inTurn(() => this.#install());
  }

  remove(): Promise<void> {
    return this.#inTurn(() => applyRules(removeTableRules(this.#options.name)));
  }

  async #flush(): Promise<void> {
    this.#nextFlush = undefined;
    const changes = this.#pending;
    this.#pending = new Map();
    try {
      await applyRules(internetChanges(this.#options.name, changes));
    } catch (error) {
      // The usual reason is a host that reloaded its own rules and flushed everyone's.
      this.#log.warn("Cannot change the firewall table: installing it anew", {
        error: messageOf(error),
      });
      await this.#install();
    }
  }

  #install(): Promise<void> {
    const internet = [...this.#allowed];
    return applyRules(hostTableRules({ ...this.#options, resolver: this.#resolver, internet }));
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#lastChange.then(change);
    // A failure belongs to who asked for that change, not to the next one in line.
    this.#lastChange = turn.catch(() => undefined);
    return turn;
  }
}

type Chain = NonNullable<z.output<typeof chainList>["nftables"][number]["chain"]>;

function warnOfForwardDrop(log: Log, chains: readonly Chain[], prefix: string): void {
  const dropping = chains.filter((chain) => chain.hook === "forward" && chain.policy === "drop");
  for (const { family, table, name } of dropping) {
    log.warn(
      "The host's firewall drops forwarded packets by default: guests may have no internet",
      {
        chain: `${family} ${table} ${name}`,
        remedy: `accept forwarding from interfaces ${prefix}* and established connections back to them`,
      },
    );
  }
}

async function listChains(): Promise<Chain[]> {
  const { nftables } = chainList.parse(
    JSON.parse(await runTool("nft", ["-j", "list", "chains"], "")),
  );
  return nftables.flatMap(({ chain }) => (chain === undefined ? [] : [chain]));
}

async function readInternet(table: string): Promise<string[]> {
  const text = await runTool("nft", ["-j", "list", "set", "inet", table, "internet"], "");
  return setList.parse(JSON.parse(text)).nftables.flatMap(({ set }) => set?.elem ?? []);
}

async function applyRules(rules: string): Promise<void> {
  await runTool("nft", ["-f", "-"], rules);
}
