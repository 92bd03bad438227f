// What one microVM's endpoint may carry at once and in a second. With limits by size class they are the service's own;
// without, there is still one on connections, so that nobody with a token takes them all.
//
// INVARIANTS
// - A connection counts for a microVM from its first admitted request to its close, whatever it carries in between.
// - A refused request takes nothing, so whoever is over a limit is served again as soon as there is room.
// - Endpoints that have no connection, and whose rates have recovered, are forgotten.

import { DEFAULT_BASELINE_MIB, type SizeClass, sizeClassOf } from "../images/size-class.ts";
import type { MicrovmRecord } from "../microvms/records.ts";
import type { Known } from "../lib/known.ts";
import type { ImageStore } from "../store/store.ts";
import { Allowance } from "../lib/allowance.ts";
import type { ClientConnection } from "./exchange.ts";
import { Pace } from "./pace.ts";
import { type Refusal, REFUSALS } from "./refusal.ts";

export interface EndpointLimits {
  /** Client connections at once. */
  readonly connections: number;
  /** Also the burst; Infinity for no limit. */
  readonly requestsPerSecond: number;
  /** Of bodies, both directions together; Infinity for no limit. */
  readonly bytesPerSecond: number;
}

/** For each vCPU of the peak: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html names 8 to 128, and 40 and 160. */
const CONNECTIONS_PER_VCPU = 8;
const REQUESTS_PER_VCPU = 10;
const BYTES_PER_VCPU = 1_000_000;
/** A quarter of what the ingress takes. */
const MOST_CONNECTIONS = 2500;
/** Endpoints that are kept without a look at which can be forgotten. */
const FEW_ENDPOINTS = 256;
/** After this a rate whose burst is one second's worth has recovered. */
const RECOVERY_MS = 1000;

/** The service's limits for microVMs of a size class. */
export function limitsOfSize({ vcpus }: Pick<SizeClass, "vcpus">): EndpointLimits {
  return {
    connections: vcpus * CONNECTIONS_PER_VCPU,
    requestsPerSecond: vcpus * REQUESTS_PER_VCPU,
    bytesPerSecond: vcpus * BYTES_PER_VCPU,
  };
}

/** Looks up the size class of a microVM's image version, which never changes. */
export async function limitsBySize(
  images: Pick<ImageStore, "getVersion">,
  record: MicrovmRecord,
): Promise<EndpointLimits> {
  const version = await images.getVersion(record, record.imageName, record.imageVersion);
  const size = sizeClassOf(version?.configuration.memoryMiB ?? DEFAULT_BASELINE_MIB);
  return size === undefined ? NO_LIMITS : limitsOfSize(size);
}

/** Where nothing is limited by size. */
export const NO_LIMITS: EndpointLimits = {
  connections: MOST_CONNECTIONS,
  requestsPerSecond: Number.POSITIVE_INFINITY,
  bytesPerSecond: Number.POSITIVE_INFINITY,
};

export interface LimiterDeps {
  readonly limitsOf: (record: MicrovmRecord) => Promise<EndpointLimits>;
  /** Milliseconds; monotonic. */
  readonly now: () => number;
}

/** Within the limits: how fast bodies may go, undefined for any speed. */
export interface WithinLimits {
  readonly kind: "within";
  readonly pace: Pace | undefined;
}

export interface Limiter {
  /** Counts a request that was admitted, and its connection. */
  count(record: MicrovmRecord, connection: ClientConnection): Known<WithinLimits | Refusal>;
}

interface Endpoint {
  readonly limits: EndpointLimits;
  readonly connections: Set<ClientConnection>;
  /** Any number where there is none. */
  readonly requests: Allowance | undefined;
  readonly within: WithinLimits;
  usedAt: number;
}

/** A limiter that has seen nothing yet. */
export function createLimiter({ limitsOf, now }: LimiterDeps): Limiter {
  const endpoints = new Map<string, Endpoint>();
  let forgetAt = FEW_ENDPOINTS;
  const forget = () => {
    for (const [microvmId, { connections, within, usedAt }] of endpoints) {
      const hasRecovered = now() - usedAt > RECOVERY_MS && within.pace?.isBusy !== true;
      if (connections.size === 0 && hasRecovered) endpoints.delete(microvmId);
    }
    forgetAt = Math.max(FEW_ENDPOINTS, endpoints.size * 2);
  };
  const endpointOf = async (record: MicrovmRecord): Promise<Endpoint> => {
    const limits = await limitsOf(record);
    // Another request may have come first while the size was looked up.
    const known = endpoints.get(record.microvmId);
    if (known !== undefined) return known;
    if (endpoints.size >= forgetAt) forget();
    const endpoint = newEndpoint(limits, now);
    endpoints.set(record.microvmId, endpoint);
    return endpoint;
  };
  const countAt = (endpoint: Endpoint, connection: ClientConnection) => {
    const { connections, limits, requests, within } = endpoint;
    const isNew = !connections.has(connection);
    if (isNew && connections.size >= limits.connections) return REFUSALS.tooManyConnections;
    if (requests?.spend(1) === false) return REFUSALS.tooManyRequests;
    endpoint.usedAt = now();
    if (isNew && !connection.signal.aborted) {
      connections.add(connection);
      const leave = () => connections.delete(connection);
      connection.signal.addEventListener("abort", leave, { once: true });
    }
    return within;
  };
  return {
    count(record, connection) {
      const known = endpoints.get(record.microvmId);
      if (known !== undefined) return countAt(known, connection);
      return endpointOf(record).then((endpoint) => countAt(endpoint, connection));
    },
  };
}

function newEndpoint(limits: EndpointLimits, now: () => number): Endpoint {
  const { requestsPerSecond, bytesPerSecond } = limits;
  const isPaced = Number.isFinite(bytesPerSecond);
  return {
    limits,
    connections: new Set(),
    requests: Number.isFinite(requestsPerSecond)
      ? new Allowance(Math.max(1, requestsPerSecond), requestsPerSecond, now)
      : undefined,
    within: { kind: "within", pace: isPaced ? new Pace(bytesPerSecond, now) : undefined },
    usedAt: now(),
  };
}
