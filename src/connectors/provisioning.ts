// Brings about what the operations recorded: PENDING connectors become ACTIVE, updates succeed, DELETING connectors go.
// A host of one's own has no network interfaces to make for them (docs/decisions/0002-network-connectors.md), so each
// takes one write. The store is the queue; what a service leaves undone the next one finds there.
//
// INVARIANT: one pass at a time; whatever was recorded before a `wake` is seen by a pass that begins after it.

import { type Clock, pause } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { ConnectorStore } from "../store/connector-store.ts";
import type { ConnectorRecord } from "./records.ts";

const RETRY_DELAY_MS = 5000;

export interface ProvisioningDeps {
  readonly connectors: Pick<ConnectorStore, "listUnsettled" | "amend" | "remove">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Works until disposed. `wake` it at start and after each change. */
export class ConnectorProvisioning implements AsyncDisposable {
  readonly #deps: ProvisioningDeps;
  readonly #stopping = new AbortController();
  #isWanted = false;
  #running: Promise<void> | undefined;

  constructor(deps: ProvisioningDeps) {
    this.#deps = deps;
  }

  /** Starts a pass, or has the running one followed by another. */
  wake(): void {
    this.#isWanted = true;
    this.#running ??= this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    // Not within the call that woke it: what that call answers is the state before.
    await Promise.resolve();
    while (this.#isWanted && !this.#stopping.signal.aborted) {
      this.#isWanted = false;
      try {
        for (const record of await this.#deps.connectors.listUnsettled())
          await this.#settle(record);
      } catch (error) {
        this.#deps.log.error("Cannot provision network connectors, trying again", { error });
        await pause(this.#deps.clock, RETRY_DELAY_MS, this.#stopping.signal);
        this.#isWanted = true;
      }
    }
    this.#running = undefined;
  }

  async #settle({ connectorId, state }: ConnectorRecord): Promise<void> {
    const { connectors } = this.#deps;
    if (state === "DELETING") return connectors.remove(connectorId);
    // The record may have changed since it was listed.
    await connectors.amend(connectorId, (record) => {
      if (record.state === "PENDING") return { state: "ACTIVE", stateReason: "Initial creation" };
      return record.lastUpdateStatus === "InProgress" ? { lastUpdateStatus: "Successful" } : null;
    });
  }
}
