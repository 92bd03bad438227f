// What every store must do. Call it with a way to make an empty one.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isServiceError, type ErrorCode } from "../../../src/errors.ts";
import { canMove, MICROVM_STATES, type MicrovmState } from "../../../src/microvms/state.ts";
import type { Store, TokenUse } from "../../../src/store/store.ts";
import {
  addBuiltImage,
  SCOPE,
  SIZES,
  someImage,
  someMicrovm,
} from "../../fixtures/domain-records.ts";

const code = (wanted: ErrorCode) => (error: unknown) => isServiceError(error, wanted);
const runToken = (token: string, parametersHash = "h1"): TokenUse => ({
  operation: "RunMicrovm",
  token,
  parametersHash,
});
const imageToken = (token: string, parametersHash = "h1"): TokenUse => ({
  operation: "CreateMicrovmImage",
  token,
  parametersHash,
});

/** The shortest way from PENDING to a state. */
const PATHS: Record<MicrovmState, readonly MicrovmState[]> = {
  PENDING: [],
  RUNNING: ["RUNNING"],
  SUSPENDING: ["RUNNING", "SUSPENDING"],
  SUSPENDED: ["RUNNING", "SUSPENDING", "SUSPENDED"],
  TERMINATING: ["TERMINATING"],
  TERMINATED: ["TERMINATING", "TERMINATED"],
};

/** Registers the suite. `open` makes an empty store, which the suite disposes. */
export function storeSuite(name: string, open: () => Promise<Store>): void {
  describe(`${name}: microvms`, () => {
    test("create keeps every member as it was given", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const record = someMicrovm({
        executionRoleArn: "arn:aws:iam::000000000000:role/run",
        idlePolicy: {
          maxIdleDurationSeconds: 60,
          suspendedDurationSeconds: 0,
          autoResumeEnabled: false,
        },
        runHookPayload: "päyload",
        logging: { cloudWatch: { logGroup: "g" } },
      });
      assert.deepEqual(await store.microvms.create(record, null), record);
      assert.deepEqual(await store.microvms.get(record.microvmId), record);
      assert.deepEqual(await store.microvms.findByEndpoint(record.endpointId), record);
      assert.equal(await store.microvms.get("microvm-none"), undefined);
      assert.equal(await store.microvms.findByEndpoint("none"), undefined);
    });

    test("create refuses an image that cannot be run, in the same transaction", async () => {
      await using store = await open();
      const message = `No active version found for MicroVM image ${someMicrovm().imageArn}`;
      await assert.rejects(store.microvms.create(someMicrovm(), runToken("t")), {
        code: "NOT_FOUND",
        message,
      });
      const { version } = await store.images.create(someImage(), null);
      await assert.rejects(store.microvms.create(someMicrovm(), null), code("NOT_FOUND"));
      await store.images.startBuild(version.buildId, 1);
      await store.images.finishBuild(version.buildId, { succeeded: true, sizes: SIZES }, 2);
      await store.images.beginDelete(SCOPE, "app", 3);
      await assert.rejects(store.microvms.create(someMicrovm(), null), code("NOT_FOUND"));
      assert.equal(await store.microvms.findByToken(SCOPE, runToken("t")), undefined);
    });

    test("create answers a repeated token with the first microvm, whatever became of it", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const first = await store.microvms.create(someMicrovm(), runToken("t"));
      const again = await store.microvms.create(someMicrovm(), runToken("t"));
      assert.equal(again.microvmId, first.microvmId);
      await store.microvms.transition(first.microvmId, { to: "TERMINATING" });
      const found = await store.microvms.findByToken(SCOPE, runToken("t"));
      assert.equal(found?.microvmId, first.microvmId);
      assert.equal(found?.state, "TERMINATING");
      assert.equal((await store.microvms.listLive()).length, 1);
    });

    test("create refuses a token that was used with other parameters", async () => {
      await using store = await open();
      await addBuiltImage(store);
      await store.microvms.create(someMicrovm(), runToken("t"));
      const refusal = {
        code: "CONFLICT",
        message: "The provided clientToken was used with different request parameters",
      };
      await assert.rejects(store.microvms.create(someMicrovm(), runToken("t", "h2")), refusal);
      await assert.rejects(store.microvms.findByToken(SCOPE, runToken("t", "h2")), refusal);
    });

    test("tokens are told apart by operation, account and region", async () => {
      await using store = await open();
      await addBuiltImage(store);
      await store.microvms.create(someMicrovm(), runToken("t"));
      const elsewhere = { ...SCOPE, region: "eu-west-1" };
      assert.equal(await store.microvms.findByToken(elsewhere, runToken("t", "h2")), undefined);
      const other = { ...SCOPE, account: "111111111111" };
      assert.equal(await store.microvms.findByToken(other, runToken("t", "h2")), undefined);
      assert.equal(await store.images.findByToken(SCOPE, imageToken("t", "h2")), undefined);
    });

    test("transition allows exactly the moves of the table", async () => {
      await using store = await open();
      await addBuiltImage(store);
      for (const from of MICROVM_STATES) {
        for (const to of MICROVM_STATES) {
          const { microvmId } = await store.microvms.create(someMicrovm(), null);
          for (const step of PATHS[from]) await store.microvms.transition(microvmId, { to: step });
          const move = store.microvms.transition(microvmId, { to });
          if (canMove(from, to)) assert.equal((await move).state, to);
          else await assert.rejects(move, code("CONFLICT"), `${from} to ${to}`);
          const expected = canMove(from, to) ? to : from;
          assert.equal((await store.microvms.get(microvmId))?.state, expected);
        }
      }
    });

    test("transition refuses a writer with the id of another vmm and writes nothing", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const record = await store.microvms.create(someMicrovm({ vmmId: "vmm-2" }), null);
      const { microvmId } = record;
      for (const fence of ["vmm-1", null]) {
        const late = store.microvms.transition(microvmId, {
          to: "RUNNING",
          fence,
          patch: { stateReason: "late" },
        });
        await assert.rejects(late, code("CONFLICT"));
      }
      assert.deepEqual(await store.microvms.get(microvmId), record);
      const moved = await store.microvms.transition(microvmId, { to: "RUNNING", fence: "vmm-2" });
      assert.equal(moved.state, "RUNNING");
    });

    test("transition writes its patch with the move", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const { microvmId } = await store.microvms.create(
        someMicrovm({ runHookPayload: "secret" }),
        null,
      );
      const patch = {
        desired: "TERMINATED",
        stateReason: "why",
        runHookPayload: null,
        suspendedAt: 5,
        terminatedAt: 6,
        vmmId: null,
      } as const;
      const moved = await store.microvms.transition(microvmId, { to: "TERMINATING", patch });
      assert.deepEqual(await store.microvms.get(microvmId), moved);
      assert.deepEqual({ ...moved, ...patch }, moved);
    });

    test("amend writes what the change returns, and nothing when it throws or returns null", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const record = await store.microvms.create(someMicrovm(), null);
      const { microvmId } = record;
      const amended = await store.microvms.amend(microvmId, () => ({ desired: "SUSPENDED" }));
      assert.deepEqual(amended, { ...record, desired: "SUSPENDED" });
      assert.deepEqual(await store.microvms.amend(microvmId, () => null), amended);
      const refusal = new RangeError("no");
      const refused = store.microvms.amend(microvmId, () => {
        throw refusal;
      });
      await assert.rejects(refused, refusal);
      assert.deepEqual(await store.microvms.get(microvmId), amended);
      await assert.rejects(
        store.microvms.amend("microvm-none", () => null),
        code("NOT_FOUND"),
      );
    });

    test("a wish to terminate is final", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const { microvmId } = await store.microvms.create(someMicrovm(), null);
      await store.microvms.amend(microvmId, () => ({ desired: "TERMINATED" }));
      const amended = await store.microvms.amend(microvmId, () => ({ desired: "SUSPENDED" }));
      assert.equal(amended.desired, "TERMINATED");
      const patch = { desired: "RUNNING" } as const;
      const moved = await store.microvms.transition(microvmId, { to: "RUNNING", patch });
      assert.equal(moved.desired, "TERMINATED");
    });

    test("list pages newest first, without gaps when microvms are added meanwhile", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const ids: string[] = [];
      for (let at = 0; at < 7; at += 1) {
        // Two share a time, so that the page key must tell them apart.
        const startedAt = 1000 + Math.floor(at / 2);
        ids.push((await store.microvms.create(someMicrovm({ startedAt }), null)).microvmId);
      }
      const seen: string[] = [];
      let after: string | null = null;
      do {
        const page = await store.microvms.list(SCOPE, {}, { maxResults: 2, after });
        seen.push(...page.items.map(({ microvmId }) => microvmId));
        after = page.next;
        await store.microvms.create(someMicrovm({ startedAt: 9000 }), null);
      } while (after !== null);
      assert.deepEqual(seen.toSorted(), ids.toSorted());
      const rest = await store.microvms.list(SCOPE, {}, { maxResults: 50, after: null });
      const times = rest.items.map(({ startedAt }) => startedAt);
      assert.deepEqual(
        times,
        times.toSorted((a, b) => b - a),
      );
    });

    test("list keeps to the scope and the filter, and refuses a foreign page key", async () => {
      await using store = await open();
      await addBuiltImage(store);
      await addBuiltImage(store, "other");
      const elsewhere = { ...SCOPE, region: "eu-west-1" };
      await addBuiltImage(store, "app", null, elsewhere);
      const one = await store.microvms.create(someMicrovm(), null);
      await store.microvms.create(someMicrovm({ imageName: "other" }), null);
      await store.microvms.create(someMicrovm(elsewhere), null);
      const page = { maxResults: 10, after: null };
      const all = await store.microvms.list(SCOPE, {}, page);
      assert.equal(all.items.length, 2);
      assert.equal(all.next, null);
      const { imageArn } = one;
      const filtered = await store.microvms.list(SCOPE, { imageArn, imageVersion: "1.0" }, page);
      assert.deepEqual(
        filtered.items.map(({ microvmId }) => microvmId),
        [one.microvmId],
      );
      const none = await store.microvms.list(SCOPE, { imageArn, imageVersion: "2.0" }, page);
      assert.deepEqual(none, { items: [], next: null });
      for (const after of ["", "x", "12", `${"9".repeat(30)}:a`]) {
        const refused = store.microvms.list(SCOPE, {}, { maxResults: 10, after });
        await assert.rejects(refused, code("VALIDATION_FAILED"));
      }
    });

    test("listLive leaves out the terminated only", async () => {
      await using store = await open();
      await addBuiltImage(store);
      for (const state of MICROVM_STATES) {
        const { microvmId } = await store.microvms.create(someMicrovm(), null);
        for (const to of PATHS[state]) await store.microvms.transition(microvmId, { to });
      }
      const states = (await store.microvms.listLive()).map(({ state }) => state);
      assert.deepEqual(
        states.toSorted(),
        MICROVM_STATES.filter((state) => state !== "TERMINATED").toSorted(),
      );
    });

    test("purgeTerminated forgets old terminated microvms with their tokens, in bounded steps", async () => {
      await using store = await open();
      await addBuiltImage(store);
      const end = async (terminatedAt: number, token: string) => {
        const { microvmId } = await store.microvms.create(someMicrovm(), runToken(token));
        await store.microvms.transition(microvmId, { to: "TERMINATING" });
        const patch = { terminatedAt };
        await store.microvms.transition(microvmId, { to: "TERMINATED", patch });
        return microvmId;
      };
      const old = [await end(10, "a"), await end(20, "b"), await end(30, "c")];
      const young = await end(100, "d");
      const living = await store.microvms.create(someMicrovm(), null);
      assert.equal(await store.microvms.purgeTerminated(100, 2), 2);
      assert.equal(await store.microvms.purgeTerminated(100, 2), 1);
      assert.equal(await store.microvms.purgeTerminated(100, 2), 0);
      for (const microvmId of old) assert.equal(await store.microvms.get(microvmId), undefined);
      assert.equal((await store.microvms.get(young))?.state, "TERMINATED");
      assert.equal((await store.microvms.get(living.microvmId))?.state, "PENDING");
      assert.equal(await store.microvms.findByToken(SCOPE, runToken("a", "h2")), undefined);
    });
  });

  describe(`${name}: images`, () => {
    test("create keeps image and version as they were given, once a name", async () => {
      await using store = await open();
      const created = someImage();
      assert.deepEqual(await store.images.create(created, imageToken("t")), created);
      assert.deepEqual(await store.images.get(SCOPE, "app"), created.image);
      assert.deepEqual(await store.images.getVersion(SCOPE, "app", "1.0"), created.version);
      assert.deepEqual(await store.images.listVersions(SCOPE, "app"), [created.version]);
      assert.equal(await store.images.getVersion(SCOPE, "app", "2.0"), undefined);
      await assert.rejects(store.images.create(someImage(), imageToken("u")), {
        code: "VALIDATION_FAILED",
        message: "A MicroVM image with the name 'app' already exists in this account",
      });
      assert.equal(await store.images.findByToken(SCOPE, imageToken("u")), undefined);
      assert.deepEqual(await store.images.create(someImage(), imageToken("t")), created);
      await assert.rejects(
        store.images.create(someImage("b"), imageToken("t", "h2")),
        code("CONFLICT"),
      );
    });

    test("a name is free in another account or region", async () => {
      await using store = await open();
      await store.images.create(someImage(), null);
      for (const scope of [
        { ...SCOPE, region: "eu-west-1" },
        { ...SCOPE, account: "111111111111" },
      ]) {
        await store.images.create(someImage("app", null, scope), null);
        assert.equal(
          (await store.images.list(scope, { maxResults: 9, after: null })).items.length,
          1,
        );
      }
    });

    test("a successful build makes version and image usable at once", async () => {
      await using store = await open();
      const { version } = await store.images.create(someImage(), null);
      const { buildId } = version;
      assert.equal(await store.images.findActiveVersion(SCOPE, "app"), undefined);
      const building = await store.images.startBuild(buildId, 5);
      assert.equal(building.state, "IN_PROGRESS");
      assert.equal(building.buildAttempts, 1);
      const outcome = { succeeded: true, sizes: SIZES } as const;
      const built = await store.images.finishBuild(buildId, outcome, 6);
      assert.equal(built.image.state, "CREATED");
      assert.equal(built.image.latestActiveImageVersion, "1.0");
      assert.equal(built.image.updatedAt, 6);
      assert.equal(built.version.state, "SUCCESSFUL");
      assert.equal(built.version.status, "ACTIVE");
      assert.deepEqual(built.version.sizes, SIZES);
      assert.deepEqual(await store.images.findActiveVersion(SCOPE, "app"), built.version);
      assert.deepEqual(await store.images.findActiveVersion(SCOPE, "app", "1.0"), built.version);
      assert.equal(await store.images.findActiveVersion(SCOPE, "app", "2.0"), undefined);
      assert.deepEqual(await store.images.get(SCOPE, "app"), built.image);
    });

    test("a failed build leaves its reason, and cannot end twice", async () => {
      await using store = await open();
      const { version } = await store.images.create(someImage(), null);
      const { buildId } = version;
      await store.images.startBuild(buildId, 5);
      const failed = await store.images.finishBuild(buildId, { succeeded: false, reason: "no" }, 6);
      assert.equal(failed.image.state, "CREATE_FAILED");
      assert.equal(failed.image.latestFailedImageVersion, "1.0");
      assert.equal(failed.version.state, "FAILED");
      assert.equal(failed.version.stateReason, "no");
      assert.equal(await store.images.findActiveVersion(SCOPE, "app"), undefined);
      const late = store.images.finishBuild(buildId, { succeeded: true, sizes: SIZES }, 7);
      await assert.rejects(late, code("CONFLICT"));
      await assert.rejects(store.images.startBuild(buildId, 8), code("CONFLICT"));
      assert.equal((await store.images.getVersion(SCOPE, "app", "1.0"))?.state, "FAILED");
    });

    test("an interrupted build is queued again and counts unless forgiven", async () => {
      await using store = await open();
      const { version } = await store.images.create(someImage(), null);
      const { buildId } = version;
      await store.images.startBuild(buildId, 5);
      const [unfinished] = await store.images.listUnfinishedBuilds();
      assert.equal(unfinished?.state, "IN_PROGRESS");
      assert.equal((await store.images.requeueBuild(buildId, 6, false)).buildAttempts, 1);
      await assert.rejects(store.images.requeueBuild(buildId, 6, false), code("CONFLICT"));
      await store.images.startBuild(buildId, 7);
      const forgiven = await store.images.requeueBuild(buildId, 8, true);
      assert.equal(forgiven.buildAttempts, 1);
      assert.equal(forgiven.state, "PENDING");
      assert.deepEqual(await store.images.listUnfinishedBuilds(), [forgiven]);
    });

    test("list pages by name", async () => {
      await using store = await open();
      for (const name of ["c", "a", "b"]) await store.images.create(someImage(name), null);
      const first = await store.images.list(SCOPE, { maxResults: 2, after: null });
      assert.deepEqual(
        first.items.map(({ name }) => name),
        ["a", "b"],
      );
      const second = await store.images.list(SCOPE, { maxResults: 2, after: first.next });
      assert.deepEqual(
        second.items.map(({ name }) => name),
        ["c"],
      );
      assert.equal(second.next, null);
    });

    test("beginDelete refuses an image that is built or has microvms", async () => {
      await using store = await open();
      await assert.rejects(store.images.beginDelete(SCOPE, "app", 1), code("NOT_FOUND"));
      const { image, version } = await store.images.create(someImage(), null);
      await assert.rejects(store.images.beginDelete(SCOPE, "app", 1), {
        code: "VALIDATION_FAILED",
        message: `Cannot delete MicroVM image in its current state: ${image.imageArn}`,
      });
      await store.images.startBuild(version.buildId, 1);
      await store.images.finishBuild(version.buildId, { succeeded: true, sizes: SIZES }, 2);
      const { microvmId } = await store.microvms.create(someMicrovm(), null);
      await store.microvms.transition(microvmId, { to: "TERMINATING" });
      await assert.rejects(store.images.beginDelete(SCOPE, "app", 3), {
        code: "VALIDATION_FAILED",
        message: "Cannot delete microvm image with running microvms.",
      });
      await store.microvms.transition(microvmId, { to: "TERMINATED" });
      assert.equal((await store.images.beginDelete(SCOPE, "app", 4)).state, "DELETING");
      assert.equal((await store.images.beginDelete(SCOPE, "app", 5)).state, "DELETING");
      assert.equal(await store.images.findActiveVersion(SCOPE, "app"), undefined);
    });

    test("remove forgets a deleting image with its versions and token, and frees the name", async () => {
      await using store = await open();
      const { version } = await store.images.create(someImage(), imageToken("t"));
      await assert.rejects(store.images.remove(SCOPE, "app"), code("CONFLICT"));
      await store.images.startBuild(version.buildId, 1);
      await store.images.finishBuild(version.buildId, { succeeded: false, reason: "no" }, 2);
      await store.images.beginDelete(SCOPE, "app", 3);
      assert.equal((await store.images.listDeleting()).length, 1);
      assert.equal((await store.images.failDelete(SCOPE, "app", 4)).state, "DELETE_FAILED");
      await store.images.beginDelete(SCOPE, "app", 5);
      await store.images.remove(SCOPE, "app");
      await store.images.remove(SCOPE, "app");
      assert.equal(await store.images.get(SCOPE, "app"), undefined);
      assert.deepEqual(await store.images.listVersions(SCOPE, "app"), []);
      assert.equal(await store.images.findByToken(SCOPE, imageToken("t")), undefined);
      await store.images.create(someImage(), imageToken("t", "h2"));
    });
  });
}
