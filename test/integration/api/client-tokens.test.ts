// Client tokens: the same request with the same token is the same request, for as long as what it made is there.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  CreateMicrovmImageCommand,
  DeleteMicrovmImageCommand,
  GetMicrovmCommand,
  ListMicrovmImageBuildsCommand,
  RunMicrovmCommand,
  type RunMicrovmRequest,
  TerminateMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import { eventually } from "../scheduler/harness.ts";
import { sendSigned } from "./harness.ts";
import { CONFIGURATION, image, setUp } from "./image-service.ts";

const CONFLICT = {
  name: "ConflictException",
  message: "The provided clientToken was used with different request parameters",
};
const clientToken = "0d1e2f3a-token";

type Service = Awaited<ReturnType<typeof setUp>>;

const create = ({ lambda }: Service, changes: { description?: string } = {}) =>
  lambda.send(
    new CreateMicrovmImageCommand({ ...CONFIGURATION, name: "flask", clientToken, ...changes }),
  );

describe("a client token of RunMicrovm", () => {
  const run = ({ lambda }: Service, changes: Partial<RunMicrovmRequest> = {}) =>
    lambda.send(new RunMicrovmCommand({ ...image, clientToken, ...changes }));

  it("gives the original microVM, whatever became of it", async () => {
    await using it = await setUp();
    await it.create();
    const { microvmId, endpoint } = await run(it);
    const again = await run(it);
    assert.deepEqual([again.microvmId, again.endpoint], [microvmId, endpoint]);
    const target = { microvmIdentifier: microvmId };
    await it.lambda.send(new TerminateMicrovmCommand(target));
    const state = async () => (await it.lambda.send(new GetMicrovmCommand(target))).state;
    await eventually(async () => (await state()) === "TERMINATED");
    const late = await run(it);
    assert.deepEqual([late.microvmId, late.state], [microvmId, "TERMINATED"]);
    assert.equal(it.host.count("run"), 1);
  });

  it("answers 409 with other parameters and leaves the original alone", async () => {
    await using it = await setUp();
    await it.create();
    const { microvmId } = await run(it);
    await assert.rejects(run(it, { maximumDurationInSeconds: 60 }), CONFLICT);
    const body = JSON.stringify({ ...image, clientToken, imageVersion: "1.0" });
    const raw = { method: "POST", path: "/2025-09-09/microvms", body };
    const { status, body: answer } = await sendSigned(it.harness, raw);
    assert.equal(status, 409);
    assert.deepEqual(JSON.parse(answer), {
      message: CONFLICT.message,
      resourceId: null,
      resourceType: null,
    });
    assert.equal((await run(it)).microvmId, microvmId);
  });
});

describe("a client token of CreateMicrovmImage", () => {
  it("gives the original image, and 409 with other parameters", async () => {
    await using it = await setUp();
    const { imageArn } = await create(it);
    await it.atRest();
    const again = await create(it);
    assert.deepEqual([again.imageArn, again.imageVersion], [imageArn, "1.0"]);
    assert.equal(it.host.count("build"), 1);
    await assert.rejects(create(it, { description: "other" }), CONFLICT);
  });

  it("makes a new image once the old one is gone, and builds it", async () => {
    await using it = await setUp();
    await create(it);
    await it.atRest();
    const before = await it.get();
    await it.lambda.send(new DeleteMicrovmImageCommand(image));
    await eventually(async () => (await it.store.images.listDeleting()).length === 0);
    assert.equal((await create(it, { description: "other" })).state, "CREATING");
    await it.atRest();
    assert.equal((await it.get()).state, "CREATED");
    assert.notDeepEqual((await it.get()).createdAt, before.createdAt);
    const builds = new ListMicrovmImageBuildsCommand({ ...image, imageVersion: "1.0" });
    const { items } = await it.lambda.send(builds);
    assert.deepEqual(
      items?.map(({ buildState }) => buildState),
      ["SUCCESSFUL"],
    );
    assert.equal(it.host.count("build"), 2);
  });
});
