// Connections to the application on behalf of one client connection. They are never shared between clients: whatever
// state an application ties to a connection, or a parser left in one, stays with the client that caused it.

import { Agent, type AgentOptions } from "node:http";
import { Agent as TlsAgent } from "node:https";
import { IDLE_MS, PlainUpstreams } from "./plain-upstream.ts";
import { UpstreamSessions } from "./upstream-sessions.ts";
import type { Target } from "./upstream.ts";
import { UNCHECKED } from "./upstream-tls.ts";

type AgentTarget = Pick<Target, "lease" | "port" | "isTls">;

/** What an exchange may use of its client's connections. */
export interface ClientUpstreams extends Disposable {
  /** An agent whose connection is certainly new without `mayReuse`. */
  agentFor(target: AgentTarget, mayReuse: boolean): Agent;
  /** For plain messages over HTTP/1.1. */
  readonly plain: PlainUpstreams;
  /** Over HTTP/2. */
  readonly sessions: UpstreamSessions;
}

interface Pool {
  readonly agent: Agent;
  readonly address: string;
  readonly port: number;
  readonly isTls: boolean;
  /** Of the VMM behind the address; another VMM may get the same address later. */
  readonly signal: AbortSignal;
  readonly onGone: () => void;
}

/** The client's connection to an application, kept while idle and cut when the VMM goes away. Dispose when the client has left. */
export class Upstreams implements ClientUpstreams {
  readonly plain = new PlainUpstreams(1);
  readonly sessions = new UpstreamSessions();
  #pool: Pool | undefined;

  /**
   * An agent that holds at most one connection, the kept one when it leads to the same VMM and port.
   * Without `mayReuse` the connection is certainly new.
   */
  agentFor({ lease, port, isTls }: AgentTarget, mayReuse: boolean): Agent {
    const pool = this.#pool;
    const isSame =
      pool !== undefined &&
      pool.address === lease.address &&
      pool.port === port &&
      pool.isTls === isTls &&
      pool.signal === lease.signal;
    if (isSame && mayReuse) return pool.agent;
    this.#drop();
    const limits = { maxSockets: 1, maxFreeSockets: 1 };
    const agent = newAgent(isTls, { ...limits, keepAlive: true, timeout: IDLE_MS });
    const onGone = () => agent.destroy();
    lease.signal.addEventListener("abort", onGone, { once: true });
    this.#pool = { agent, address: lease.address, port, isTls, signal: lease.signal, onGone };
    return agent;
  }

  [Symbol.dispose](): void {
    this.#drop();
    this.plain[Symbol.dispose]();
    this.sessions[Symbol.dispose]();
  }

  #drop(): void {
    const pool = this.#pool;
    this.#pool = undefined;
    pool?.signal.removeEventListener("abort", pool.onGone);
    pool?.agent.destroy();
  }
}

/** MicroVMs whose idle connections one client may have kept; a client of more than these gets new ones each time. */
const MAX_KEPT_TARGETS = 16;
const MAX_FREE_SOCKETS = 8;

interface KeptAgent {
  readonly agent: Agent;
  readonly signal: AbortSignal;
  readonly onGone: () => void;
}

/** As `Upstreams`, for a client whose exchanges are carried side by side. */
export class SharedUpstreams implements ClientUpstreams {
  readonly plain = new PlainUpstreams(MAX_FREE_SOCKETS);
  readonly sessions = new UpstreamSessions();
  /** By VMM and whether it is for TLS. */
  readonly #kept = new Map<string, KeptAgent>();

  agentFor({ lease, isTls }: AgentTarget, mayReuse: boolean): Agent {
    const { vmmId, signal } = lease;
    const key = `${vmmId} ${isTls}`;
    const kept = this.#kept.get(key);
    if (mayReuse && kept !== undefined) return kept.agent;
    if (!mayReuse || signal.aborted || this.#kept.size >= MAX_KEPT_TARGETS)
      return newAgent(isTls, {});
    const limits = { maxFreeSockets: MAX_FREE_SOCKETS };
    const agent = newAgent(isTls, { ...limits, keepAlive: true, timeout: IDLE_MS });
    const onGone = () => {
      this.#kept.delete(key);
      agent.destroy();
    };
    signal.addEventListener("abort", onGone, { once: true });
    this.#kept.set(key, { agent, signal, onGone });
    return agent;
  }

  [Symbol.dispose](): void {
    for (const { signal, agent, onGone } of this.#kept.values()) {
      signal.removeEventListener("abort", onGone);
      agent.destroy();
    }
    this.#kept.clear();
    this.plain[Symbol.dispose]();
    this.sessions[Symbol.dispose]();
  }
}

function newAgent(isTls: boolean, options: AgentOptions): Agent {
  return isTls ? new TlsAgent({ ...options, ...UNCHECKED }) : new Agent(options);
}
