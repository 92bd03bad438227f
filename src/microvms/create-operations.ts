// The operations on microVMs: they check, record what is wanted and return. The scheduler sees every record written.

import { ServiceError } from "../errors.ts";
import { canonicalVersion, parseImageArn } from "../images/arn.ts";
import type { ImageVersionRecord } from "../images/records.ts";
import type { Clock } from "../lib/clock.ts";
import { tokenUseOf } from "../store/client-token.ts";
import type { ConnectorStore } from "../store/connector-store.ts";
import type { ImageStore, MemoryQuota, MicrovmPatch, MicrovmStore } from "../store/store.ts";
import { resolveConnectors } from "./connectors.ts";
import { hookSettings } from "./hooks.ts";
import { newEndpointId, newMicrovmId, newVmmId } from "./ids.ts";
import type { LiveMicrovms } from "./live.ts";
import type { MicrovmOperations, RunInput } from "./operations.ts";
import type { MicrovmRecord, Scope } from "./records.ts";

/** Longest life of a microVM, and its default. */
export const DEFAULT_MAXIMUM_DURATION_SECONDS = 28_800;
/** MicroVMs that may wait to be started; the launches themselves are bounded by the scheduler. */
export const MAX_PENDING = 256;

export interface MicrovmOperationsDeps {
  readonly microvms: MicrovmStore;
  readonly images: Pick<ImageStore, "findActiveVersion">;
  readonly connectors: Pick<ConnectorStore, "find">;
  readonly live: Pick<LiveMicrovms, "countPending" | "get">;
  readonly clock: Clock;
  readonly memoryQuota: MemoryQuota;
}

/** The operations over a store whose writes reach the scheduler. */
export function createMicrovmOperations(deps: MicrovmOperationsDeps): MicrovmOperations {
  const { microvms } = deps;
  const intend = async (
    scope: Scope,
    microvmId: string,
    change: (record: MicrovmRecord) => MicrovmPatch | null,
  ) => {
    await existing(deps, scope, microvmId);
    await microvms.amend(microvmId, change);
  };
  return {
    run: (scope, input) => run(deps, scope, input),
    get: (scope, microvmId) => existing(deps, scope, microvmId),
    async list(scope, { imageArn, imageVersion }, page) {
      const filter = {
        ...(imageArn !== undefined && {
          imageArn: parseImageArn(scope, imageArn, "ListMicrovms").imageArn,
        }),
        ...(imageVersion !== undefined && { imageVersion: canonicalVersion(imageVersion) }),
      };
      return microvms.list(scope, filter, page);
    },
    suspend: (scope, microvmId) => intend(scope, microvmId, suspendIntent),
    resume: (scope, microvmId) => intend(scope, microvmId, resumeIntent),
    terminate: (scope, microvmId) => intend(scope, microvmId, terminateIntent),
  };
}

async function run(
  deps: MicrovmOperationsDeps,
  scope: Scope,
  input: RunInput,
): Promise<MicrovmRecord> {
  const token = tokenUseOf("RunMicrovm", input);
  const original = token && (await deps.microvms.findByToken(scope, token));
  if (original) return original;
  const { imageArn, name } = parseImageArn(scope, input.imageArn, "RunMicrovm");
  const connectors = {
    ingressNetworkConnectors: await resolveConnectors(deps, scope, {
      direction: "ingress",
      given: input.ingressNetworkConnectors,
    }),
    egressNetworkConnectors: await resolveConnectors(deps, scope, {
      direction: "egress",
      given: input.egressNetworkConnectors,
    }),
  };
  checkLogging(input);
  const wanted = input.imageVersion && canonicalVersion(input.imageVersion);
  const version = await deps.images.findActiveVersion(scope, name, wanted);
  if (version === undefined) throw noActiveVersion(imageArn, input.imageVersion);
  checkPayload(input, version);
  if (deps.live.countPending() >= MAX_PENDING)
    throw new ServiceError("NO_CAPACITY", "Too many MicroVMs are being started");
  return deps.microvms.create(
    {
      ...scope,
      ...connectors,
      microvmId: newMicrovmId(),
      endpointId: newEndpointId(),
      imageName: name,
      imageArn,
      imageVersion: version.imageVersion,
      state: "PENDING",
      desired: "RUNNING",
      stateReason: null,
      executionRoleArn: input.executionRoleArn ?? null,
      idlePolicy: input.idlePolicy ?? null,
      maximumDurationInSeconds: input.maximumDurationInSeconds ?? DEFAULT_MAXIMUM_DURATION_SECONDS,
      runHookPayload: input.runHookPayload ?? null,
      logging: input.logging ?? null,
      startedAt: deps.clock.now(),
      suspendedAt: null,
      terminatedAt: null,
      // Minted here, so that the first launch needs no write of its own before it.
      vmmId: newVmmId(),
    },
    token,
    deps.memoryQuota,
  );
}

function checkLogging({ logging, executionRoleArn }: RunInput): void {
  if (logging === undefined || !("cloudWatch" in logging) || executionRoleArn !== undefined) return;
  throw new ServiceError(
    "VALIDATION_FAILED",
    "Logging cannot be enabled without providing executionRoleArn",
  );
}

function checkPayload({ runHookPayload }: RunInput, version: ImageVersionRecord): void {
  if (runHookPayload === undefined) return;
  if (hookSettings(version.configuration.hooks, "run") !== undefined) return;
  throw new ServiceError(
    "VALIDATION_FAILED",
    "The run hook must be enabled in the MicroVM image to pass the run hook payload.",
  );
}

function noActiveVersion(imageArn: string, imageVersion: string | undefined): ServiceError {
  const subject = `No active version found for MicroVM image ${imageArn}`;
  return new ServiceError(
    "NOT_FOUND",
    imageVersion === undefined ? subject : `${subject} and version ${imageVersion}`,
  );
}

/** Live ones are asked for most, and are in memory as last written. */
async function existing(
  { live, microvms }: Pick<MicrovmOperationsDeps, "live" | "microvms">,
  scope: Scope,
  microvmId: string,
): Promise<MicrovmRecord> {
  const record = live.get(microvmId)?.record ?? (await microvms.get(microvmId));
  if (record?.account === scope.account && record.region === scope.region) return record;
  throw new ServiceError("NOT_FOUND", `MicroVM not found: ${microvmId}`);
}

function isTerminated({ state, desired }: MicrovmRecord): boolean {
  return desired === "TERMINATED" || state === "TERMINATING" || state === "TERMINATED";
}

function cannotChange({ microvmId }: MicrovmRecord): ServiceError {
  return new ServiceError(
    "VALIDATION_FAILED",
    `The MicroVM ${microvmId} has been terminated and its state cannot be changed.`,
  );
}

/** Suspending is idempotent, and in PENDING it is remembered until the microVM runs. */
export function suspendIntent(record: MicrovmRecord): MicrovmPatch | null {
  if (isTerminated(record)) throw cannotChange(record);
  return record.desired === "SUSPENDED" ? null : { desired: "SUSPENDED" };
}

/** Resuming what runs, or is about to, is a conflict; resuming what is suspended or about to be is remembered. */
export function resumeIntent(record: MicrovmRecord): MicrovmPatch | null {
  if (isTerminated(record)) throw cannotChange(record);
  const { microvmId, state, desired } = record;
  if (desired === "SUSPENDED") return { desired: "RUNNING" };
  if (state === "SUSPENDED" || state === "SUSPENDING") return null;
  throw new ServiceError("CONFLICT", `MicroVM ${microvmId} is already in state: ${state}`);
}

/** Terminating is idempotent. What an earlier failure left in `stateReason` is not why it ends. */
export function terminateIntent(record: MicrovmRecord): MicrovmPatch | null {
  return isTerminated(record) ? null : { desired: "TERMINATED", stateReason: null };
}
