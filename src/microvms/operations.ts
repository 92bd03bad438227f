// What callers may ask of microVMs. Operations check, record intent and wake the scheduler; they never touch a VMM.

import type { IdlePolicy, Logging, MicrovmRecord, MicrovmSummary, Scope } from "./records.ts";

export interface RunInput {
  readonly imageArn: string;
  readonly imageVersion?: string;
  readonly executionRoleArn?: string;
  readonly ingressNetworkConnectors?: readonly string[];
  readonly egressNetworkConnectors?: readonly string[];
  readonly idlePolicy?: IdlePolicy;
  readonly maximumDurationInSeconds?: number;
  readonly runHookPayload?: string;
  readonly logging?: Logging;
  readonly clientToken?: string;
}

export interface MicrovmFilter {
  readonly imageArn?: string;
  readonly imageVersion?: string;
}

export interface PageRequest {
  /** Items a page, 1–50. */
  readonly maxResults: number;
  /** Key of the last item of the page before; null for the first page. */
  readonly after: string | null;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Key to continue after; null at the end. */
  readonly next: string | null;
}

/** Errors are ServiceErrors whose messages are the service's own. */
export interface MicrovmOperations {
  run(scope: Scope, input: RunInput): Promise<MicrovmRecord>;
  get(scope: Scope, microvmId: string): Promise<MicrovmRecord>;
  list(scope: Scope, filter: MicrovmFilter, page: PageRequest): Promise<Page<MicrovmSummary>>;
  suspend(scope: Scope, microvmId: string): Promise<void>;
  resume(scope: Scope, microvmId: string): Promise<void>;
  terminate(scope: Scope, microvmId: string): Promise<void>;
}
