// What every store must do with further versions of an image, with tags and with quotas. Call it with a way to make an
// empty one.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isServiceError, type ErrorCode } from "../../../src/errors.ts";
import type { ImageRecord, ImageVersionRecord } from "../../../src/images/records.ts";
import type { Store, TokenUse } from "../../../src/store/store.ts";
import {
  addBuiltImage,
  SCOPE,
  SIZES,
  someFurtherVersion,
  someImage,
  someMicrovm,
} from "../../fixtures/domain-records.ts";

const code = (wanted: ErrorCode) => (error: unknown) => isServiceError(error, wanted);
const updateToken = (token: string, parametersHash = "h1"): TokenUse => ({
  operation: "UpdateMicrovmImage",
  token,
  parametersHash,
});
const succeeded = { succeeded: true, sizes: SIZES } as const;
const failed = { succeeded: false, reason: "no" } as const;

/** Adds a version to "app" and lets its build end. */
async function addVersion(
  { images }: Store,
  outcome: typeof succeeded | typeof failed = succeeded,
): Promise<string> {
  const { version } = await images.update(someFurtherVersion(), null);
  await images.startBuild(version.buildId, 5000);
  await images.finishBuild(version.buildId, outcome, 6000);
  return version.imageVersion;
}

async function imageOf({ images }: Store): Promise<ImageRecord> {
  const image = await images.get(SCOPE, "app");
  assert.ok(image);
  return image;
}

/** State and latest versions of "app". */
async function summaryOf(store: Store) {
  const { state, latestActiveImageVersion, latestFailedImageVersion } = await imageOf(store);
  return [state, latestActiveImageVersion, latestFailedImageVersion];
}

async function deleteVersion({ images }: Store, imageVersion: string): Promise<ImageVersionRecord> {
  const version = await images.beginDeleteVersion(SCOPE, "app", imageVersion, 7000);
  await images.removeVersion(version.buildId, 8000);
  return version;
}

/** Registers the suite. `open` makes an empty store, which the suite disposes. */
export function imageVersionsSuite(name: string, open: () => Promise<Store>): void {
  describe(`${name}: image versions`, () => {
    test("update adds the next version and leaves the active one runnable", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const given = someFurtherVersion();
      const updated = await store.images.update(given, null);
      assert.deepEqual(updated.version, { ...given, imageVersion: "2.0" });
      assert.equal(updated.image.state, "UPDATING");
      assert.equal(updated.image.latestActiveImageVersion, "1.0");
      assert.equal(updated.image.updatedAt, given.updatedAt);
      assert.deepEqual(await store.images.get(SCOPE, "app"), updated.image);
      assert.deepEqual(await store.images.getVersion(SCOPE, "app", "2.0"), updated.version);
      assert.deepEqual(await store.images.listUnfinishedBuilds(), [updated.version]);
      const active = await store.images.findActiveVersion(SCOPE, "app");
      assert.equal(active?.imageVersion, "1.0");
    });

    test("a build that succeeds makes its version the latest active one", async () => {
      await using store = await open();
      await addBuiltImage(store);
      assert.equal(await addVersion(store), "2.0");
      assert.deepEqual(await summaryOf(store), ["UPDATED", "2.0", null]);
      const latest = await store.images.findActiveVersion(SCOPE, "app");
      assert.equal(latest?.imageVersion, "2.0");
      const pinned = await store.images.findActiveVersion(SCOPE, "app", "1.0");
      assert.equal(pinned?.imageVersion, "1.0");
    });

    test("a build that fails leaves the version before in use", async () => {
      await using store = await open();
      await addBuiltImage(store);
      assert.equal(await addVersion(store, failed), "2.0");
      assert.deepEqual(await summaryOf(store), ["UPDATE_FAILED", "1.0", "2.0"]);
      const latest = await store.images.findActiveVersion(SCOPE, "app");
      assert.equal(latest?.imageVersion, "1.0");
      assert.equal(await addVersion(store), "3.0");
      assert.deepEqual(await summaryOf(store), ["UPDATED", "3.0", "2.0"]);
    });

    test("update refuses an image that is not there or not at rest", async () => {
      await using store = await open();
      await assert.rejects(store.images.update(someFurtherVersion(), null), code("NOT_FOUND"));
      const refusal = {
        code: "VALIDATION_FAILED",
        message: "Cannot update MicroVM Image in its current state",
      };
      const { version } = await store.images.create(someImage(), null);
      await assert.rejects(store.images.update(someFurtherVersion(), null), refusal);
      await store.images.startBuild(version.buildId, 1);
      await store.images.finishBuild(version.buildId, failed, 2);
      await store.images.update(someFurtherVersion(), null);
      await assert.rejects(store.images.update(someFurtherVersion(), null), refusal);
      assert.equal((await store.images.listVersions(SCOPE, "app")).length, 2);
    });

    test("update replays its token, also when the image has moved on", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const first = await store.images.update(someFurtherVersion(), updateToken("t"));
      const { buildId } = first.version;
      const again = await store.images.update(someFurtherVersion(), updateToken("t"));
      assert.deepEqual(again, first);
      await store.images.startBuild(buildId, 5);
      await store.images.finishBuild(buildId, succeeded, 6);
      const found = await store.images.findByToken(SCOPE, updateToken("t"));
      assert.equal(found?.version.buildId, buildId);
      assert.equal(found?.image.state, "UPDATED");
      const other = store.images.update(someFurtherVersion(), updateToken("t", "h2"));
      await assert.rejects(other, code("CONFLICT"));
      assert.equal((await store.images.listVersions(SCOPE, "app")).length, 2);
    });

    test("a number that was given away does not come back", async () => {
      await using store = await open();
      await addBuiltImage(store);
      await addVersion(store);
      await deleteVersion(store, "2.0");
      assert.equal(await addVersion(store, failed), "3.0");
      assert.equal(await addVersion(store), "4.0");
    });

    test("quotas count what is there, whatever its state", async () => {
      await using store = await open();
      await store.images.create(someImage("app"), null, { images: 2 });
      await store.images.create(someImage("b"), null, { images: 2 });
      await assert.rejects(store.images.create(someImage("c"), null, { images: 2 }), {
        code: "QUOTA_EXCEEDED",
        message: "The limit of MicroVM images has been reached for this account.",
      });
      const elsewhere = { ...SCOPE, region: "eu-west-1" };
      await store.images.create(someImage("c", null, elsewhere), null, { images: 2 });

      const [first] = await store.images.listVersions(SCOPE, "app");
      assert.ok(first);
      await store.images.startBuild(first.buildId, 1);
      await store.images.finishBuild(first.buildId, failed, 2);
      await addVersion(store);
      await assert.rejects(
        store.images.update(someFurtherVersion(), null, { versionsPerImage: 2 }),
        {
          code: "QUOTA_EXCEEDED",
          message: "The limit of versions has been reached for this MicroVM image.",
        },
      );
      await deleteVersion(store, "1.0");
      const { version } = await store.images.update(someFurtherVersion(), null, {
        versionsPerImage: 2,
      });
      assert.equal(version.imageVersion, "3.0");
    });

    test("builds that wait or run are limited, whichever images they are of", async () => {
      await using store = await open();
      const limits = { concurrentBuilds: 2 };
      await addBuiltImage(store, "app");
      const { version } = await store.images.create(someImage("b"), null, limits);
      await store.images.startBuild(version.buildId, 1);
      await store.images.update(someFurtherVersion(), null, limits);
      const refusal = {
        code: "QUOTA_EXCEEDED",
        message: "The limit of concurrent MicroVM image builds has been reached for this account.",
      };
      await assert.rejects(store.images.create(someImage("c"), null, limits), refusal);
      const elsewhere = { ...SCOPE, region: "eu-west-1" };
      await store.images.create(someImage("c", null, elsewhere), null, limits);
      await store.images.finishBuild(version.buildId, failed, 2);
      await store.images.create(someImage("c"), null, limits);
    });

    test("pageVersions is newest first by number", async () => {
      await using store = await open();
      await addBuiltImage(store);
      for (let count = 0; count < 10; count += 1) await addVersion(store, failed);
      const seen: string[] = [];
      let after: string | null = null;
      do {
        const page = await store.images.pageVersions(SCOPE, "app", { maxResults: 4, after });
        seen.push(...page.items.map(({ imageVersion }) => imageVersion));
        after = page.next;
      } while (after !== null);
      const all = Array.from({ length: 11 }, (_, index) => `${11 - index}.0`);
      assert.deepEqual(seen, all);
      const full = await store.images.pageVersions(SCOPE, "app", { maxResults: 11, after: null });
      assert.equal(full.next, null);
      for (const bad of ["", "x", "1", `${"9".repeat(30)}.0`]) {
        const refused = store.images.pageVersions(SCOPE, "app", { maxResults: 4, after: bad });
        await assert.rejects(refused, code("VALIDATION_FAILED"));
      }
    });

    test("an inactive version is not run, and the latest active one is the newest left", async () => {
      await using store = await open();
      await addBuiltImage(store);
      await addVersion(store);
      const off = await store.images.setVersionStatus(SCOPE, "app", "2.0", "INACTIVE", 7000);
      assert.equal(off.status, "INACTIVE");
      assert.equal(off.updatedAt, 7000);
      assert.deepEqual(await store.images.getVersion(SCOPE, "app", "2.0"), off);
      assert.deepEqual(await summaryOf(store), ["UPDATED", "1.0", null]);
      assert.equal(await store.images.findActiveVersion(SCOPE, "app", "2.0"), undefined);
      const pinned = store.microvms.create(someMicrovm({ imageVersion: "2.0" }), null);
      await assert.rejects(pinned, code("NOT_FOUND"));
      await store.images.setVersionStatus(SCOPE, "app", "1.0", "INACTIVE", 7001);
      assert.deepEqual(await summaryOf(store), ["UPDATED", null, null]);
      assert.equal(await store.images.findActiveVersion(SCOPE, "app"), undefined);
      await store.images.setVersionStatus(SCOPE, "app", "1.0", "ACTIVE", 7002);
      assert.deepEqual(await summaryOf(store), ["UPDATED", "1.0", null]);
    });

    test("setting the status a version has changes nothing", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const before = await store.images.getVersion(SCOPE, "app", "1.0");
      const same = await store.images.setVersionStatus(SCOPE, "app", "1.0", "ACTIVE", 9000);
      assert.deepEqual(same, before);
    });

    test("setVersionStatus refuses what cannot be switched", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const set = (imageVersion: string) =>
        store.images.setVersionStatus(SCOPE, "app", imageVersion, "ACTIVE", 9000);
      const { imageArn } = await imageOf(store);
      await assert.rejects(set("9.0"), {
        code: "NOT_FOUND",
        message: `MicroVMImage not found for MicroVMImage: ${imageArn}, Version: 9.0`,
      });
      await addVersion(store, failed);
      await assert.rejects(set("2.0"), code("VALIDATION_FAILED"));
      await store.images.update(someFurtherVersion(), null);
      await assert.rejects(set("1.0"), {
        code: "CONFLICT",
        message: "MicroVM Image is already in state: UPDATING",
      });
    });

    test("a version that is deleted is out of use at once and keeps its image UPDATING", async () => {
      await using store = await open();
      await addBuiltImage(store);
      await addVersion(store);
      const { buildId } = await store.images.beginDeleteVersion(SCOPE, "app", "2.0", 7000);
      assert.deepEqual(await summaryOf(store), ["UPDATING", "1.0", null]);
      assert.equal(await store.images.findActiveVersion(SCOPE, "app", "2.0"), undefined);
      const [deleting] = await store.images.listDeletingVersions();
      assert.equal(deleting?.buildId, buildId);
      assert.equal(deleting?.state, "DELETING");
      assert.equal(
        (await store.images.beginDeleteVersion(SCOPE, "app", "2.0", 7001)).state,
        "DELETING",
      );
      await assert.rejects(store.images.beginDeleteVersion(SCOPE, "app", "1.0", 7001), {
        code: "CONFLICT",
        message: "MicroVM Image is already in state: UPDATING",
      });
      const { imageArn } = await imageOf(store);
      await assert.rejects(store.images.beginDelete(SCOPE, "app", 7001), {
        code: "VALIDATION_FAILED",
        message: `Cannot delete MicroVM image in its current state: ${imageArn}`,
      });
      await assert.rejects(
        store.images.update(someFurtherVersion(), null),
        code("VALIDATION_FAILED"),
      );
      await store.images.removeVersion(buildId, 8000);
      await store.images.removeVersion(buildId, 8001);
      assert.deepEqual(await summaryOf(store), ["UPDATED", "1.0", null]);
      assert.equal((await imageOf(store)).updatedAt, 8000);
      assert.equal(await store.images.getVersion(SCOPE, "app", "2.0"), undefined);
      assert.deepEqual(await store.images.listDeletingVersions(), []);
    });

    test("after a deletion the image is as its newest version left it", async () => {
      await using store = await open();
      await addBuiltImage(store);
      await addVersion(store, failed);
      await addVersion(store);
      await deleteVersion(store, "3.0");
      assert.deepEqual(await summaryOf(store), ["UPDATE_FAILED", "1.0", "2.0"]);
      await deleteVersion(store, "2.0");
      assert.deepEqual(await summaryOf(store), ["UPDATED", "1.0", null]);
    });

    test("beginDeleteVersion refuses the only version and one with microvms", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const begin = (imageVersion: string) =>
        store.images.beginDeleteVersion(SCOPE, "app", imageVersion, 7000);
      await assert.rejects(begin("1.0"), {
        code: "VALIDATION_FAILED",
        message: "This is the last version. Please delete the entire image",
      });
      await assert.rejects(begin("2.0"), code("NOT_FOUND"));
      const { microvmId } = await store.microvms.create(someMicrovm(), null);
      await addVersion(store);
      await assert.rejects(begin("1.0"), {
        code: "VALIDATION_FAILED",
        message: "Cannot delete microvm image version with running microvms.",
      });
      await store.microvms.transition(microvmId, { to: "TERMINATING" });
      await assert.rejects(begin("1.0"), code("VALIDATION_FAILED"));
      await store.microvms.transition(microvmId, { to: "TERMINATED" });
      assert.equal((await begin("1.0")).state, "DELETING");
    });

    test("a removal that failed leaves the image at rest and can be asked for again", async () => {
      await using store = await open();
      await addBuiltImage(store);
      await addVersion(store);
      const { buildId } = await store.images.beginDeleteVersion(SCOPE, "app", "1.0", 7000);
      await store.images.failDeleteVersion(buildId, 7001);
      assert.equal((await store.images.getVersion(SCOPE, "app", "1.0"))?.state, "DELETE_FAILED");
      assert.deepEqual(await summaryOf(store), ["UPDATED", "2.0", null]);
      await assert.rejects(store.images.removeVersion(buildId, 7002), code("CONFLICT"));
      await deleteVersion(store, "1.0");
      assert.equal((await store.images.listVersions(SCOPE, "app")).length, 1);
    });

    test("tokens of versions go with them", async () => {
      await using store = await open();
      await addBuiltImage(store);
      for (const token of ["t", "u"]) {
        const { version } = await store.images.update(someFurtherVersion(), updateToken(token));
        await store.images.startBuild(version.buildId, 5);
        await store.images.finishBuild(version.buildId, succeeded, 6);
      }
      await deleteVersion(store, "2.0");
      assert.equal(await store.images.findByToken(SCOPE, updateToken("t", "h2")), undefined);
      await store.images.beginDelete(SCOPE, "app", 7);
      await store.images.remove(SCOPE, "app");
      assert.equal(await store.images.findByToken(SCOPE, updateToken("u", "h2")), undefined);
      assert.deepEqual(await store.images.listVersions(SCOPE, "app"), []);
    });

    test("a create call is replayed after its first version is gone", async () => {
      await using store = await open();
      const token: TokenUse = { ...updateToken("t"), operation: "CreateMicrovmImage" };
      const { image, version } = await store.images.create(someImage(), token);
      await store.images.startBuild(version.buildId, 1);
      await store.images.finishBuild(version.buildId, succeeded, 2);
      await addVersion(store);
      await deleteVersion(store, "1.0");
      const replayed = await store.images.create(someImage(), token);
      assert.equal(replayed.image.imageId, image.imageId);
      assert.equal(replayed.version.imageVersion, "2.0");
    });
  });

  describe(`${name}: tags`, () => {
    test("are what the change makes of them; nothing else of the image changes", async () => {
      await using store = await open();
      const { image } = await store.images.create(someImage(), null);
      const changed = await store.images.changeTags(SCOPE, "app", (tags) => ({ ...tags, b: "2" }));
      assert.deepEqual(changed, { ...image, tags: { ...image.tags, b: "2" } });
      assert.deepEqual(await store.images.get(SCOPE, "app"), changed);
      await store.images.changeTags(SCOPE, "app", () => ({}));
      assert.deepEqual((await imageOf(store)).tags, {});
      await assert.rejects(
        store.images.changeTags(SCOPE, "none", (tags) => tags),
        code("NOT_FOUND"),
      );
    });

    test("stay as they were when the change throws", async () => {
      await using store = await open();
      const { image } = await store.images.create(someImage(), null);
      const refusal = new RangeError("no");
      const refused = store.images.changeTags(SCOPE, "app", () => {
        throw refusal;
      });
      await assert.rejects(refused, refusal);
      assert.deepEqual(await store.images.get(SCOPE, "app"), image);
    });
  });
}
