// What the operations answer: checks, messages, defaults, client tokens, pages.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import { imageArnOf } from "../../../src/images/arn.ts";
import { MAX_CONCURRENT_BUILDS } from "../../../src/images/builds.ts";
import type { CreateImageInput } from "../../../src/images/operations.ts";
import { MAX_PENDING } from "../../../src/microvms/create-operations.ts";
import { BASE_IMAGE_ARN, SCOPE } from "../../fixtures/domain-records.ts";
import { ALL_HOOKS, APP, eventually, settle, setUp } from "./harness.ts";

const IMAGE: CreateImageInput = {
  name: "fresh",
  codeArtifactUri: "s3://bucket/app.zip",
  baseImageArn: BASE_IMAGE_ARN,
  buildRoleArn: "arn:aws:iam::000000000000:role/build",
};

describe("RunMicrovm", () => {
  test("answers with the service's defaults, PENDING, id and endpoint final", async () => {
    await using it = await setUp();
    const record = await it.domain.microvms.run(SCOPE, { imageArn: APP });
    assert.equal(record.state, "PENDING");
    assert.equal(record.imageVersion, "1.0");
    assert.equal(record.maximumDurationInSeconds, 28_800);
    assert.equal(record.startedAt, it.clock.now());
    const connector = "arn:aws:lambda:us-east-1:aws:network-connector:aws-network-connector:";
    assert.deepEqual(record.ingressNetworkConnectors, [`${connector}HTTP_INGRESS`]);
    assert.deepEqual(record.egressNetworkConnectors, [`${connector}INTERNET_EGRESS`]);
    for (const member of ["idlePolicy", "executionRoleArn", "logging", "stateReason"] as const)
      assert.equal(record[member], null);
    assert.notEqual(record.microvmId, `microvm-${record.endpointId}`);
    await it.reaches(record.microvmId, "RUNNING");
    const later = await it.domain.microvms.get(SCOPE, record.microvmId);
    assert.equal(later.endpointId, record.endpointId);
  });

  test("refuses in the service's words", async () => {
    await using it = await setUp();
    const missing = imageArnOf(SCOPE, "missing");
    const run = (input: object) => it.domain.microvms.run(SCOPE, { imageArn: APP, ...input });
    await assert.rejects(run({ imageArn: missing }), {
      code: "NOT_FOUND",
      message: `No active version found for MicroVM image ${missing}`,
    });
    await assert.rejects(run({ imageVersion: "7.0" }), {
      code: "NOT_FOUND",
      message: `No active version found for MicroVM image ${APP} and version 7.0`,
    });
    await assert.rejects(run({ imageArn: "app" }), {
      code: "VALIDATION_FAILED",
      message: "Malformed ARN - doesn't start with 'arn:'",
    });
    await assert.rejects(run({ runHookPayload: "x" }), {
      code: "VALIDATION_FAILED",
      message: "The run hook must be enabled in the MicroVM image to pass the run hook payload.",
    });
    await assert.rejects(run({ logging: { cloudWatch: {} } }), {
      code: "VALIDATION_FAILED",
      message: "Logging cannot be enabled without providing executionRoleArn",
    });
    await run({ logging: { disabled: {} } });
    await run({ logging: { cloudWatch: {} }, executionRoleArn: "arn:aws:iam::0:role/r" });
    assert.equal((await it.store.microvms.listLive()).length, 2);
  });

  test("replays the same client token and refuses it with other parameters", async () => {
    await using it = await setUp({ hooks: ALL_HOOKS });
    const input = { clientToken: "t", runHookPayload: "x" };
    const first = await it.running(input);
    assert.equal(await it.run(input), first);
    await assert.rejects(it.run({ ...input, runHookPayload: "y" }), {
      code: "CONFLICT",
      message: "The provided clientToken was used with different request parameters",
    });
    const raced = await Promise.all([it.run({ clientToken: "u" }), it.run({ clientToken: "u" })]);
    assert.equal(raced[0], raced[1]);
    assert.equal((await it.store.microvms.listLive()).length, 2);
  });

  test("refuses to let launches pile up", async () => {
    await using it = await setUp();
    const releases = Array.from({ length: 4 }, () => it.host.hold("run"));
    const ids = await Promise.all(Array.from({ length: MAX_PENDING }, () => it.run()));
    await assert.rejects(it.run(), { code: "NO_CAPACITY" });
    for (const microvmId of ids) await it.domain.microvms.terminate(SCOPE, microvmId);
    for (const release of releases) release();
    await eventually(async () => (await it.store.microvms.listLive()).length === 0);
    assert.ok(await it.run());
  });
});

describe("GetMicrovm and ListMicrovms", () => {
  test("do not show microvms of other accounts and regions", async () => {
    await using it = await setUp();
    const microvmId = await it.run();
    const other = { ...SCOPE, account: "111111111111" };
    const refusal = { code: "NOT_FOUND", message: `MicroVM not found: ${microvmId}` };
    await assert.rejects(it.domain.microvms.get(other, microvmId), refusal);
    for (const call of ["suspend", "resume", "terminate"] as const)
      await assert.rejects(it.domain.microvms[call](other, microvmId), refusal);
    const page = { maxResults: 10, after: null };
    assert.deepEqual(await it.domain.microvms.list(other, {}, page), { items: [], next: null });
    const { items } = await it.domain.microvms.list(SCOPE, { imageArn: APP }, page);
    assert.equal(items.length, 1);
  });
});

describe("CreateMicrovmImage", () => {
  test("builds in the background and makes the image runnable", async () => {
    await using it = await setUp();
    const release = it.host.hold("build");
    const created = await it.domain.images.create(SCOPE, { ...IMAGE, tags: { a: "b" } });
    assert.equal(created.image.state, "CREATING");
    assert.equal(created.version.state, "PENDING");
    assert.equal(created.version.imageVersion, "1.0");
    await eventually(() => it.host.count("build") === 1);
    const { imageArn } = created.image;
    await assert.rejects(it.domain.images.delete(SCOPE, imageArn), {
      code: "VALIDATION_FAILED",
      message: `Cannot delete MicroVM image in its current state: ${imageArn}`,
    });
    release();
    const state = async () => (await it.domain.images.get(SCOPE, imageArn)).state;
    await eventually(async () => (await state()) === "CREATED");
    const version = await it.domain.images.getVersion(SCOPE, imageArn, "1");
    assert.equal(version.status, "ACTIVE");
    assert.notEqual(version.sizes, null);
    const [request] = it.host.builds;
    assert.equal(request?.imageRef, "000000000000/us-east-1/fresh/1.0");
    assert.deepEqual(request.egress, { internet: true });
    await it.running({ imageArn });
  });

  test("ends a failed build with its reason, internals kept out", async () => {
    await using it = await setUp();
    it.host.failNext(
      "build",
      new ServiceError("BUILD_FAILED", "The container image build failed."),
    );
    it.host.failNext("build", new TypeError("x is not a function"));
    const reasons: (string | null)[] = [];
    for (const name of ["one", "two"]) {
      const { image } = await it.domain.images.create(SCOPE, { ...IMAGE, name });
      const version = () => it.domain.images.getVersion(SCOPE, image.imageArn, "1.0");
      await eventually(async () => (await version()).state === "FAILED");
      reasons.push((await version()).stateReason);
      assert.equal((await it.domain.images.get(SCOPE, image.imageArn)).state, "CREATE_FAILED");
      await assert.rejects(it.run({ imageArn: image.imageArn }), { code: "NOT_FOUND" });
    }
    assert.deepEqual(reasons, [
      "The container image build failed.",
      "Build workflow was interrupted by an exception",
    ]);
  });

  test("bounds the builds at once; the others stay PENDING until it is their turn", async () => {
    await using it = await setUp();
    const names = ["a", "b", "c", "d", "e"];
    const releases = names.map(() => it.host.hold("build"));
    for (const name of names) await it.domain.images.create(SCOPE, { ...IMAGE, name });
    await eventually(() => it.host.count("build") === MAX_CONCURRENT_BUILDS);
    await settle();
    assert.equal(it.host.count("build"), MAX_CONCURRENT_BUILDS);
    const last = await it.domain.images.getVersion(SCOPE, imageArnOf(SCOPE, "e"), "1.0");
    assert.equal(last.state, "PENDING");
    for (const release of releases) release();
    await eventually(async () => (await it.store.images.listUnfinishedBuilds()).length === 0);
    assert.equal(it.host.peak("build"), MAX_CONCURRENT_BUILDS);
    assert.equal(it.host.count("build"), names.length);
  });

  test("replays a client token, and refuses a name in use", async () => {
    await using it = await setUp();
    const input = { ...IMAGE, clientToken: "t" };
    const first = await it.domain.images.create(SCOPE, input);
    const again = await it.domain.images.create(SCOPE, input);
    assert.equal(again.image.imageId, first.image.imageId);
    await assert.rejects(it.domain.images.create(SCOPE, { ...input, memoryMiB: 512 }), {
      code: "CONFLICT",
    });
    await assert.rejects(it.domain.images.create(SCOPE, IMAGE), {
      code: "VALIDATION_FAILED",
      message: "A MicroVM image with the name 'fresh' already exists in this account",
    });
  });

  test("does not lose the outcome of a build to a store that cannot write for a while", async () => {
    let failures = 2;
    await using it = await setUp({
      wrap: (store) => ({
        ...store,
        images: {
          ...store.images,
          async finishBuild(...args) {
            if (failures-- > 0) throw new ServiceError("STORAGE_FULL", "The disk is full");
            return store.images.finishBuild(...args);
          },
        },
      }),
    });
    const { image } = await it.domain.images.create(SCOPE, IMAGE);
    await eventually(async () => {
      it.clock.advance(5000);
      return (await it.domain.images.get(SCOPE, image.imageArn)).state === "CREATED";
    });
    assert.equal(it.host.count("build"), 1);
  });
});

describe("GetMicrovmImage, ListMicrovmImages and DeleteMicrovmImage", () => {
  test("refuse in the service's words", async () => {
    await using it = await setUp();
    const missing = imageArnOf(SCOPE, "missing");
    const notFound = {
      code: "NOT_FOUND",
      message: `MicroVMImage not found for MicroVMImageID: ${missing}`,
    };
    await assert.rejects(it.domain.images.get(SCOPE, missing), notFound);
    await assert.rejects(it.domain.images.delete(SCOPE, missing), notFound);
    await assert.rejects(it.domain.images.getVersion(SCOPE, APP, "9.0"), {
      code: "NOT_FOUND",
      message: `MicroVMImage not found for MicroVMImage: ${APP}, Version: 9.0`,
    });
    await assert.rejects(it.domain.images.get(SCOPE, "app"), {
      code: "VALIDATION_FAILED",
      message: "Invalid ARN format: app",
    });
  });

  test("filter names after a page was cut", async () => {
    await using it = await setUp();
    for (const name of ["beta", "betamax"])
      await it.domain.images.create(SCOPE, { ...IMAGE, name });
    const names = async (after: string | null) => {
      const { items, next } = await it.domain.images.list(SCOPE, { maxResults: 2, after }, "max");
      return { names: items.map(({ name }) => name), next };
    };
    const first = await names(null);
    assert.deepEqual(first, { names: [], next: "beta" });
    assert.deepEqual(await names(first.next), { names: ["betamax"], next: null });
  });

  test("delete removes the host's files, then the record, and frees the name", async () => {
    await using it = await setUp();
    const microvmId = await it.running();
    await assert.rejects(it.domain.images.delete(SCOPE, APP), {
      code: "VALIDATION_FAILED",
      message: "Cannot delete microvm image with running microvms.",
    });
    await it.domain.microvms.terminate(SCOPE, microvmId);
    await it.reaches(microvmId, "TERMINATED");
    const release = it.host.hold("removeImage");
    assert.equal((await it.domain.images.delete(SCOPE, APP)).state, "DELETING");
    assert.equal((await it.domain.images.delete(SCOPE, APP)).state, "DELETING");
    await assert.rejects(it.run(), { code: "NOT_FOUND" });
    await assert.rejects(it.domain.images.create(SCOPE, { ...IMAGE, name: "app" }), {
      code: "VALIDATION_FAILED",
    });
    release();
    await eventually(async () => (await it.store.images.get(SCOPE, "app")) === undefined);
    assert.deepEqual(
      it.host.calls.filter(({ call }) => call === "removeImage").map(({ about }) => about),
      ["000000000000/us-east-1/app/1.0"],
    );
    assert.equal((await it.domain.microvms.get(SCOPE, microvmId)).imageArn, APP);
    await it.domain.images.create(SCOPE, { ...IMAGE, name: "app" });
  });

  test("a removal that fails can be asked for again", async () => {
    await using it = await setUp();
    it.host.failNext("removeImage", new ServiceError("INTERNAL", "no"));
    await it.domain.images.delete(SCOPE, APP);
    const state = async () => (await it.store.images.get(SCOPE, "app"))?.state;
    await eventually(async () => (await state()) === "DELETE_FAILED");
    await it.domain.images.delete(SCOPE, APP);
    await eventually(async () => (await state()) === undefined);
  });
});
