// Connections to the application on behalf of one client connection. They are never shared between clients: whatever
// state an application ties to a connection, or a parser left in one, stays with the client that caused it.

import { Agent } from "node:http";
import type { TrafficLease } from "../microvms/traffic.ts";

interface Pool {
  readonly agent: Agent;
  readonly address: string;
  readonly port: number;
  /** Of the VMM behind the address; another VMM may get the same address later. */
  readonly signal: AbortSignal;
  readonly onGone: () => void;
}

/** An idle connection is given up before applications commonly do (gunicorn: 2 s, Node: 5 s). */
const IDLE_MS = 1500;

/** The client's connection to an application, kept while idle and cut when the VMM goes away. Dispose when the client has left. */
export class Upstreams implements Disposable {
  #pool: Pool | undefined;

  /**
   * An agent that holds at most one connection, the kept one when it leads to the same VMM and port.
   * Without `mayReuse` the connection is certainly new.
   */
  agentFor(lease: TrafficLease, port: number, mayReuse: boolean): Agent {
    const pool = this.#pool;
    const isSame =
      pool !== undefined &&
      pool.address === lease.address &&
      pool.port === port &&
      pool.signal === lease.signal;
    if (isSame && mayReuse) return pool.agent;
    this[Symbol.dispose]();
    const agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      maxFreeSockets: 1,
      timeout: IDLE_MS,
    });
    const onGone = () => agent.destroy();
    lease.signal.addEventListener("abort", onGone, { once: true });
    this.#pool = { agent, address: lease.address, port, signal: lease.signal, onGone };
    return agent;
  }

  [Symbol.dispose](): void {
    const pool = this.#pool;
    this.#pool = undefined;
    pool?.signal.removeEventListener("abort", pool.onGone);
    pool?.agent.destroy();
  }
}
