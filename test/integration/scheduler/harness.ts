// A domain over a real store, a fake host and a clock that the test moves.

import assert from "node:assert/strict";
import { createDomain, type Domain } from "../../../src/domain.ts";
import type { Hooks } from "../../../src/images/records.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { imageArnOf } from "../../../src/images/arn.ts";
import type { RunInput } from "../../../src/microvms/operations.ts";
import type { IdlePolicy } from "../../../src/microvms/records.ts";
import type { MicrovmState } from "../../../src/microvms/state.ts";
import { openSqliteStore } from "../../../src/store/sqlite.ts";
import type { Store } from "../../../src/store/store.ts";
import { addBuiltImage, SCOPE } from "../../fixtures/domain-records.ts";
import { createFakeClock } from "../../fixtures/fake-clock.ts";
import { createFakeHost } from "../../fixtures/fake-host.ts";

export const never = new AbortController().signal;
export const APP = imageArnOf(SCOPE, "app");
export const ALL_HOOKS: Hooks = {
  port: 9000,
  microvmHooks: {
    run: "ENABLED",
    resume: "ENABLED",
    suspend: "ENABLED",
    terminate: "ENABLED",
    runTimeoutInSeconds: 2,
  },
  microvmImageHooks: { ready: "ENABLED" },
};
export const QUOTAS = { images: 8, versionsPerImage: 4 };
export const POLICY: IdlePolicy = {
  maxIdleDurationSeconds: 60,
  suspendedDurationSeconds: 300,
  autoResumeEnabled: true,
};

/** Longest a condition may take; far above what any needs. */
const PATIENCE_MS = 5000;

/** Waits, without a timer, until `condition` holds. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const until = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (Date.now() > until) assert.fail(`Never came true: ${condition.toString()}`);
    await new Promise(setImmediate);
  }
}

/** Lets everything that can happen without time or help happen. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
}

export type Harness = Awaited<ReturnType<typeof setUp>>;

/** A started domain with the image "app". `wrap` may stand between domain and store. */
export async function setUp(
  options: {
    readonly hooks?: Hooks;
    readonly wrap?: (store: Store) => Store;
    readonly memoryMiB?: number;
  } = {},
) {
  const store = await openSqliteStore(":memory:");
  const clock = createFakeClock();
  const host = createFakeHost();
  await addBuiltImage(store, "app", options.hooks ?? null);
  const make = () =>
    createDomain({
      store: options.wrap?.(store) ?? store,
      host,
      clock,
      log: silentLog(),
      config: {
        terminatedRetentionHours: 24,
        ingress: { waitSeconds: 30 },
        quotas: { ...QUOTAS, memoryMiB: options.memoryMiB ?? 409_600, networkConnectors: 2 },
      },
    });
  let domain: Domain = make();
  await domain.start(never);
  const stateOf = async (microvmId: string) => (await store.microvms.get(microvmId))?.state;
  return {
    store,
    clock,
    host,
    get domain() {
      return domain;
    },
    stateOf,
    record: async (microvmId: string) => {
      const record = await store.microvms.get(microvmId);
      assert.ok(record);
      return record;
    },
    reaches: (microvmId: string, state: MicrovmState) =>
      eventually(async () => (await stateOf(microvmId)) === state),
    async run(input: Partial<RunInput> = {}): Promise<string> {
      return (await domain.microvms.run(SCOPE, { imageArn: APP, ...input })).microvmId;
    },
    async running(input: Partial<RunInput> = {}): Promise<string> {
      const microvmId = await this.run(input);
      await this.reaches(microvmId, "RUNNING");
      return microvmId;
    },
    async suspended(input: Partial<RunInput> = {}): Promise<string> {
      const microvmId = await this.running(input);
      await domain.microvms.suspend(SCOPE, microvmId);
      await this.reaches(microvmId, "SUSPENDED");
      return microvmId;
    },
    open: async (microvmId: string) => domain.traffic.open(microvmId, never),
    stop: () => domain[Symbol.asyncDispose](),
    /** Another service over the same store and host. */
    async startAnew(): Promise<void> {
      domain = make();
      await domain.start(never);
    },
    async restart(between: () => void | Promise<void> = () => undefined): Promise<void> {
      await this.stop();
      await between();
      await this.startAnew();
    },
    async [Symbol.asyncDispose]() {
      await domain[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}
