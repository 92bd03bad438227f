// What every store must do about the memory quota of microVMs. Call it with a way to make an empty one.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { MemoryQuota, Store, TokenUse } from "../../../src/store/store.ts";
import {
  addBuiltImage,
  SCOPE,
  SIZES,
  someImage,
  someMicrovm,
} from "../../fixtures/domain-records.ts";

const REFUSAL = {
  code: "QUOTA_EXCEEDED",
  message: "The base maximum allocated memory limit has been reached for this account.",
};

const quota = (limitMiB: number, rest: Partial<MemoryQuota> = {}): MemoryQuota => ({
  ...{ limitMiB, countsBuilds: false, counts: "baseline" },
  ...rest,
});

/** A built image of another size than the fixtures' 512 MiB. */
async function addLargeImage(store: Store, memoryMiB: number): Promise<void> {
  const { image, version } = someImage("large");
  const configuration = { ...version.configuration, memoryMiB };
  await store.images.create({ image, version: { ...version, configuration } }, null);
  await store.images.startBuild(version.buildId, 1);
  await store.images.finishBuild(version.buildId, { succeeded: true, sizes: SIZES }, 2);
}

/** Registers the suite. `open` makes an empty store, which the suite disposes. */
export function memoryQuotaSuite(name: string, open: () => Promise<Store>): void {
  describe(`${name}: memory quota`, () => {
    test("create counts the baseline memory of every microvm that is not TERMINATED", async () => {
      await using store = await open();
      await addBuiltImage(store);
      await addLargeImage(store, 2048);
      const large = await store.microvms.create(
        someMicrovm({ imageName: "large" }),
        null,
        quota(3072),
      );
      const run = () => store.microvms.create(someMicrovm(), null, quota(3072));
      await run();
      await run();
      await assert.rejects(run(), REFUSAL);
      await store.microvms.transition(large.microvmId, { to: "TERMINATING" });
      await assert.rejects(run(), REFUSAL);
      await store.microvms.transition(large.microvmId, { to: "TERMINATED" });
      for (let more = 0; more < 4; more += 1) await run();
      await assert.rejects(run(), REFUSAL);
    });

    test("create counts builds that run where they are to count", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const { version } = await store.images.create(someImage("building"), null);
      const run = (limitMiB: number, countsBuilds: boolean) =>
        store.microvms.create(someMicrovm(), null, quota(limitMiB, { countsBuilds }));
      await run(512, true);
      await store.images.startBuild(version.buildId, 1);
      await assert.rejects(run(1024, true), REFUSAL);
      await run(1024, false);
      await run(2048, true);
      await store.images.finishBuild(version.buildId, { succeeded: true, sizes: SIZES }, 2);
      await run(2048, true);
    });

    test("create counts four times the baseline where the peak is to count", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const run = () => store.microvms.create(someMicrovm(), null, quota(4096, { counts: "peak" }));
      await run();
      await run();
      await assert.rejects(run(), REFUSAL);
    });

    test("a refused create leaves neither a microvm nor its token", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const token: TokenUse = { operation: "RunMicrovm", token: "t", parametersHash: "h" };
      const record = someMicrovm();
      await assert.rejects(store.microvms.create(record, token, quota(511)), REFUSAL);
      assert.equal(await store.microvms.get(record.microvmId), undefined);
      assert.equal(await store.microvms.findByToken(SCOPE, token), undefined);
      await store.microvms.create(record, token, quota(512));
      const again = await store.microvms.create(someMicrovm(), token, quota(512));
      assert.equal(again.microvmId, record.microvmId);
    });

    test("other accounts and regions have memory of their own", async () => {
      await using store = await open();
      const scopes = [
        SCOPE,
        { ...SCOPE, region: "eu-west-1" },
        { ...SCOPE, account: "111111111111" },
      ];
      for (const scope of scopes) {
        await addBuiltImage(store, "app", null, scope);
        await store.microvms.create(someMicrovm(scope), null, quota(512));
        await assert.rejects(store.microvms.create(someMicrovm(scope), null, quota(512)), REFUSAL);
      }
    });
  });
}
