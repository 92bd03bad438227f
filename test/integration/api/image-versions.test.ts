// Updates, versions and quotas of images through the SDK, over the real domain.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  CreateMicrovmImageCommand,
  DeleteMicrovmImageCommand,
  DeleteMicrovmImageVersionCommand,
  GetMicrovmImageVersionCommand,
  ListMicrovmImageBuildsCommand,
  ListMicrovmImageVersionsCommand,
  paginateListMicrovmImageVersions,
  RunMicrovmCommand,
  TerminateMicrovmCommand,
  UpdateMicrovmImageCommand,
  UpdateMicrovmImageVersionCommand,
} from "@aws-sdk/client-lambda-microvms";
import { ServiceError } from "../../../src/errors.ts";
import { IMAGE_ARN, INTERNET_EGRESS } from "../../unit/api/fixtures.ts";
import { eventually } from "../scheduler/harness.ts";
import { sendSigned } from "./harness.ts";
import { CONFIGURATION, image, members, setUp } from "./image-service.ts";

describe("UpdateMicrovmImage", () => {
  it("answers the next version while the old one stays the active one", async () => {
    await using it = await setUp();
    await it.create();
    const release = it.hold("build");
    const output = await it.lambda.send(
      new UpdateMicrovmImageCommand({
        ...image,
        ...CONFIGURATION,
        description: "second",
        resources: [{ minimumMemoryInMiB: 512 }],
        environmentVariables: { A: "1" },
      }),
    );
    const { createdAt, updatedAt, ...rest } = members(output);
    assert.ok(createdAt instanceof Date && updatedAt instanceof Date && createdAt <= updatedAt);
    assert.deepEqual(rest, {
      ...CONFIGURATION,
      name: "flask",
      imageArn: IMAGE_ARN,
      state: "UPDATING",
      imageVersion: "2.0",
      latestActiveImageVersion: "1.0",
      baseImageVersion: "1.0",
      description: "second",
      egressNetworkConnectors: [INTERNET_EGRESS],
      resources: [{ minimumMemoryInMiB: 512 }],
      environmentVariables: { A: "1" },
    });
    release();
    await it.atRest();
    const { state, latestActiveImageVersion } = await it.get();
    assert.deepEqual([state, latestActiveImageVersion], ["UPDATED", "2.0"]);
  });

  it("replaces the whole configuration", async () => {
    await using it = await setUp();
    await it.create();
    const more = { description: "second", resources: [{ minimumMemoryInMiB: 512 }] };
    const input = { ...image, ...CONFIGURATION };
    await it.lambda.send(new UpdateMicrovmImageCommand({ ...input, ...more }));
    await it.atRest();
    const { description, resources } = await it.lambda.send(new UpdateMicrovmImageCommand(input));
    assert.deepEqual([description ?? null, resources], [null, [{ minimumMemoryInMiB: 2048 }]]);
  });

  it("leaves the active version in use when the build fails", async () => {
    await using it = await setUp();
    await it.create();
    const reason = "The container image build failed.";
    it.host.failNext("build", new ServiceError("BUILD_FAILED", reason));
    assert.equal(await it.update(), "2.0");
    const { state, latestActiveImageVersion, latestFailedImageVersion } = await it.get();
    assert.deepEqual(
      [state, latestActiveImageVersion, latestFailedImageVersion],
      ["UPDATE_FAILED", "1.0", "2.0"],
    );
    const version = { ...image, imageVersion: "2.0" };
    const failed = await it.lambda.send(new GetMicrovmImageVersionCommand(version));
    assert.deepEqual([failed.state, failed.stateReason ?? null], ["FAILED", null]);
    const { items } = await it.lambda.send(new ListMicrovmImageBuildsCommand(version));
    assert.deepEqual(
      items?.map(({ buildState, stateReason }) => [buildState, stateReason]),
      [["FAILED", reason]],
    );
    const run = await it.lambda.send(new RunMicrovmCommand(image));
    assert.equal(run.imageVersion, "1.0");
  });

  it("is refused while the image is built", async () => {
    await using it = await setUp();
    await it.create();
    const release = it.hold("build");
    const input = { ...image, ...CONFIGURATION };
    await it.lambda.send(new UpdateMicrovmImageCommand(input));
    await assert.rejects(it.lambda.send(new UpdateMicrovmImageCommand(input)), {
      name: "ValidationException",
      message: "Cannot update MicroVM Image in its current state",
    });
    const status = { ...image, imageVersion: "1.0", status: "INACTIVE" } as const;
    await assert.rejects(it.lambda.send(new UpdateMicrovmImageVersionCommand(status)), {
      name: "ConflictException",
      message: "MicroVM Image is already in state: UPDATING",
    });
    await assert.rejects(it.lambda.send(new DeleteMicrovmImageCommand(image)), {
      name: "ValidationException",
      message: `Cannot delete MicroVM image in its current state: ${IMAGE_ARN}`,
    });
    release();
  });

  it("replays a client token and refuses it with other parameters", async () => {
    await using it = await setUp();
    await it.create();
    const input = { ...image, ...CONFIGURATION, clientToken: "t" };
    const first = await it.lambda.send(new UpdateMicrovmImageCommand(input));
    await it.atRest();
    const again = await it.lambda.send(new UpdateMicrovmImageCommand(input));
    assert.deepEqual([first.imageVersion, again.imageVersion], ["2.0", "2.0"]);
    const other = { ...input, description: "other" };
    await assert.rejects(it.lambda.send(new UpdateMicrovmImageCommand(other)), {
      name: "ConflictException",
      message: "The provided clientToken was used with different request parameters",
    });
  });

  it("refuses an image that is not there, and a bare name", async () => {
    await using it = await setUp();
    const update = (imageIdentifier: string) =>
      it.lambda.send(new UpdateMicrovmImageCommand({ imageIdentifier, ...CONFIGURATION }));
    await assert.rejects(update(IMAGE_ARN), {
      name: "ResourceNotFoundException",
      message: `MicroVMImage not found for MicroVMImageID: ${IMAGE_ARN}`,
    });
    await assert.rejects(update("flask"), {
      name: "ValidationException",
      message: "Invalid ARN format: flask",
    });
  });

  it("has no member for tags in its answer", async () => {
    await using it = await setUp();
    await it.create("flask", { team: "a" });
    const raw = {
      method: "PUT",
      path: `/2025-09-09/microvm-images/${IMAGE_ARN}`,
      body: JSON.stringify(CONFIGURATION),
    };
    const { status, body } = await sendSigned(it.harness, raw);
    assert.equal(status, 200);
    const answer: object = JSON.parse(body);
    assert.equal("tags" in answer, false);
    assert.equal("id" in answer, true);
    assert.deepEqual((await it.get()).tags, { team: "a" });
  });
});

describe("quotas", () => {
  it("are answered with 402 for images and for versions", async () => {
    await using it = await setUp();
    await it.create();
    await it.create("second");
    const exception = { name: "ServiceQuotaExceededException", $fault: "client" };
    const third = new CreateMicrovmImageCommand({ name: "third", ...CONFIGURATION });
    await assert.rejects(it.lambda.send(third), {
      ...exception,
      message: "The limit of MicroVM images has been reached for this account.",
    });
    await it.update();
    await it.update();
    await assert.rejects(it.update(), {
      ...exception,
      message: "The limit of versions has been reached for this MicroVM image.",
    });
    const path = `/2025-09-09/microvm-images/${IMAGE_ARN}`;
    const raw = { method: "PUT", path, body: JSON.stringify(CONFIGURATION) };
    assert.equal((await sendSigned(it.harness, raw)).status, 402);
  });
});

describe("image versions", () => {
  it("are listed newest first in the full shape", async () => {
    await using it = await setUp();
    await it.create();
    await it.update();
    await it.update();
    const seen: string[] = [];
    const pages = paginateListMicrovmImageVersions(
      { client: it.lambda, pageSize: 2 },
      { ...image },
    );
    for await (const { items } of pages)
      seen.push(...(items ?? []).map(({ imageVersion }) => imageVersion ?? ""));
    assert.deepEqual(seen, ["3.0", "2.0", "1.0"]);
    const { items } = await it.lambda.send(new ListMicrovmImageVersionsCommand(image));
    const got = await it.lambda.send(
      new GetMicrovmImageVersionCommand({ ...image, imageVersion: "3.0" }),
    );
    assert.deepEqual(members(items?.[0] ?? {}), members(got));
  });

  it("are run or not as their status says", async () => {
    await using it = await setUp();
    await it.create();
    await it.update();
    const run = async (imageVersion?: string) => {
      const input = { ...image, ...(imageVersion === undefined ? {} : { imageVersion }) };
      return (await it.lambda.send(new RunMicrovmCommand(input))).imageVersion;
    };
    const setStatus = (imageVersion: string, status: "ACTIVE" | "INACTIVE") =>
      it.lambda.send(new UpdateMicrovmImageVersionCommand({ ...image, imageVersion, status }));
    assert.deepEqual([await run(), await run("1.0"), await run("1")], ["2.0", "1.0", "1.0"]);
    const off = await setStatus("2.0", "INACTIVE");
    assert.deepEqual([off.imageVersion, off.state, off.status], ["2.0", "SUCCESSFUL", "INACTIVE"]);
    assert.equal((await it.get()).latestActiveImageVersion, "1.0");
    assert.equal(await run(), "1.0");
    await assert.rejects(run("2.0"), {
      name: "ResourceNotFoundException",
      message: `No active version found for MicroVM image ${IMAGE_ARN} and version 2.0`,
    });
    await setStatus("1", "INACTIVE");
    await assert.rejects(run(), {
      name: "ResourceNotFoundException",
      message: `No active version found for MicroVM image ${IMAGE_ARN}`,
    });
    await setStatus("2.0", "ACTIVE");
    assert.equal(await run(), "2.0");
  });

  it("are deleted with their files while the image is UPDATING", async () => {
    await using it = await setUp();
    await it.create();
    await it.update();
    const release = it.hold("removeImage");
    const version = { ...image, imageVersion: "1.0" };
    for (const _time of ["first", "again"]) {
      const output = await it.lambda.send(new DeleteMicrovmImageVersionCommand(version));
      assert.deepEqual(members(output), { ...version, state: "DELETING" });
    }
    const { state } = await it.lambda.send(new GetMicrovmImageVersionCommand(version));
    assert.deepEqual([state, (await it.get()).state], ["DELETING", "UPDATING"]);
    release();
    await it.atRest();
    assert.equal((await it.get()).state, "UPDATED");
    await assert.rejects(it.lambda.send(new GetMicrovmImageVersionCommand(version)), {
      name: "ResourceNotFoundException",
      message: `MicroVMImage not found for MicroVMImage: ${IMAGE_ARN}, Version: 1.0`,
    });
    const removed = it.host.calls.filter(({ call }) => call === "removeImage");
    assert.deepEqual(
      removed.map(({ about }) => about),
      ["000000000000/us-east-1/flask/1.0"],
    );
  });

  it("are not deleted when they are the last one or have microVMs", async () => {
    await using it = await setUp();
    await it.create();
    const version = { ...image, imageVersion: "1.0" };
    const remove = () => it.lambda.send(new DeleteMicrovmImageVersionCommand(version));
    await assert.rejects(remove(), {
      name: "ValidationException",
      message: "This is the last version. Please delete the entire image",
    });
    const { microvmId } = await it.lambda.send(new RunMicrovmCommand(image));
    await it.update();
    await assert.rejects(remove(), {
      name: "ValidationException",
      message: "Cannot delete microvm image version with running microvms.",
    });
    await it.lambda.send(new TerminateMicrovmCommand({ microvmIdentifier: microvmId }));
    await eventually(async () => {
      const outcome = await remove().catch(() => undefined);
      return outcome?.state === "DELETING";
    });
  });

  it("go with their image", async () => {
    await using it = await setUp();
    await it.create();
    await it.update();
    await it.lambda.send(new DeleteMicrovmImageCommand(image));
    await eventually(async () => {
      const outcome = await it.get().catch((error: Error) => error.name);
      return outcome === "ResourceNotFoundException";
    });
    const removed = it.host.calls.filter(({ call }) => call === "removeImage");
    assert.deepEqual(
      removed.map(({ about }) => about),
      ["000000000000/us-east-1/flask/1.0", "000000000000/us-east-1/flask/2.0"],
    );
    await it.create();
    const { items } = await it.lambda.send(new ListMicrovmImageVersionsCommand(image));
    assert.deepEqual(
      items?.map(({ imageVersion }) => imageVersion),
      ["1.0"],
    );
  });
});
