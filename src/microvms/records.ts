// What the control plane stores about a microVM. Times are epoch milliseconds.

import type { MicrovmState } from "./state.ts";

/** The account and region a resource belongs to; both come from the request's credential scope. */
export interface Scope {
  readonly account: string;
  readonly region: string;
}

export interface IdlePolicy {
  /** Seconds without inbound traffic after which the microVM is suspended; at least 60. */
  readonly maxIdleDurationSeconds: number;
  /** Seconds a suspended microVM is kept before it is terminated; 0 terminates instead of suspending. */
  readonly suspendedDurationSeconds: number;
  readonly autoResumeEnabled: boolean;
}

export type Logging =
  | { readonly disabled: Record<string, never> }
  | { readonly cloudWatch: { readonly logGroup?: string; readonly logStream?: string } };

export type DesiredState = "RUNNING" | "SUSPENDED" | "TERMINATED";

/** What a list says of a microVM. */
export type MicrovmSummary = Pick<
  MicrovmRecord,
  "microvmId" | "state" | "imageArn" | "imageVersion" | "startedAt"
>;

export interface MicrovmRecord extends Scope {
  /** `microvm-{uuid}`, from run to terminate. */
  readonly microvmId: string;
  /** Label of the endpoint host, a uuid of its own. */
  readonly endpointId: string;
  readonly imageName: string;
  readonly imageArn: string;
  /** Decimal `N.0`. */
  readonly imageVersion: string;
  readonly state: MicrovmState;
  /** What the last accepted API call or policy asked for; the scheduler works towards it. */
  readonly desired: DesiredState;
  /** Null while healthy; why it ended, or is about to. */
  readonly stateReason: string | null;
  readonly executionRoleArn: string | null;
  readonly ingressNetworkConnectors: readonly string[];
  readonly egressNetworkConnectors: readonly string[];
  readonly idlePolicy: IdlePolicy | null;
  readonly maximumDurationInSeconds: number;
  /** Held only until `/run` has answered; sensitive, never echoed or logged. */
  readonly runHookPayload: string | null;
  readonly logging: Logging | null;
  readonly startedAt: number;
  readonly suspendedAt: number | null;
  readonly terminatedAt: number | null;
  /** The one VMM process that may act for this microVM; null when none should exist. Every write of a step is fenced by it. */
  readonly vmmId: string | null;
}
