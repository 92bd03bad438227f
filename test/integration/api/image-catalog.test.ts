// Builds, managed images and tags through the SDK, over the real domain.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  CreateMicrovmImageCommand,
  GetMicrovmImageBuildCommand,
  ListManagedMicrovmImagesCommand,
  ListManagedMicrovmImageVersionsCommand,
  ListMicrovmImageBuildsCommand,
  ListMicrovmImageVersionsCommand,
  ListTagsCommand,
  paginateListManagedMicrovmImages,
  TagResourceCommand,
  UntagResourceCommand,
} from "@aws-sdk/client-lambda-microvms";
import { ServiceError } from "../../../src/errors.ts";
import { BASE_ARN, IMAGE_ARN } from "../../unit/api/fixtures.ts";
import { eventually } from "../scheduler/harness.ts";
import { sendSigned } from "./harness.ts";
import { CONFIGURATION, image, members, setUp } from "./image-service.ts";

const BUILD_TARGET = { architecture: "X86_64", chipset: "GENERIC", chipsetGeneration: "1" };

describe("builds", () => {
  const version = { ...image, imageVersion: "1.0" };

  it("are one for the host's CPU target, with sizes once they succeeded", async () => {
    await using it = await setUp();
    const release = it.hold("build");
    const creation = it.create();
    const list = async (filter: object = {}) =>
      (await it.lambda.send(new ListMicrovmImageBuildsCommand({ ...version, ...filter }))).items;
    await eventually(() => it.host.count("build") === 1);
    const [building, ...others] = (await list()) ?? [];
    assert.deepEqual(others, []);
    assert.equal(building?.buildState, "IN_PROGRESS");
    const buildId = building.buildId ?? "";
    assert.match(buildId, /^[0-9a-f-]{36}$/);
    const get = () => it.lambda.send(new GetMicrovmImageBuildCommand({ ...version, buildId }));
    assert.equal((await get()).snapshotBuild ?? null, null);
    release();
    await creation;
    const { createdAt, ...built } = members(await get());
    assert.ok(createdAt instanceof Date);
    assert.deepEqual(built, {
      ...BUILD_TARGET,
      imageArn: IMAGE_ARN,
      imageVersion: "1.0",
      buildId,
      buildState: "SUCCESSFUL",
      snapshotBuild: {
        memorySnapshotSizeInBytes: 1000,
        codeInstallSizeInBytes: 2000,
        diskSnapshotSizeInBytes: 30,
      },
    });
    for (const filter of [{ architecture: "X86_64" }, { chipset: "GENERIC" }, BUILD_TARGET])
      assert.equal((await list(filter))?.length, 1);
    for (const filter of [{ architecture: "ARM_64" }, { chipsetGeneration: "4" }])
      assert.deepEqual(await list(filter), []);
  });

  it("refuse an architecture that the host cannot run", async () => {
    await using it = await setUp();
    const create = (architecture: "ARM_64") =>
      it.lambda.send(
        new CreateMicrovmImageCommand({
          ...CONFIGURATION,
          name: "flask",
          cpuConfigurations: [{ architecture }],
        }),
      );
    await assert.rejects(create("ARM_64"), {
      name: "ValidationException",
      message:
        "The CPU architecture ARM_64 is not available on this host. Available architectures: [X86_64].",
    });
    const { cpuConfigurations } = await create("X86_64" as "ARM_64");
    assert.deepEqual(cpuConfigurations, [{ architecture: "X86_64" }]);
  });

  it("are found by version and id only", async () => {
    await using it = await setUp();
    await it.create();
    const buildId = "99999999-8888-4777-8666-555555555555";
    const missing = new GetMicrovmImageBuildCommand({ ...version, imageVersion: "1", buildId });
    await assert.rejects(it.lambda.send(missing), {
      name: "ResourceNotFoundException",
      message: `MicroVMImageBuild not found for MicroVMImage: ${IMAGE_ARN}, Version: 1, BuildID: ${buildId}`,
    });
    const other = new ListMicrovmImageBuildsCommand({ ...version, imageVersion: "7.0" });
    await assert.rejects(it.lambda.send(other), {
      name: "ResourceNotFoundException",
      message: `MicroVMImage not found for MicroVMImage: ${IMAGE_ARN}, Version: 7.0`,
    });
  });

  it("that failed after the container was built have its size and no others", async () => {
    await using it = await setUp();
    const details = { codeInstallSizeInBytes: 2000 };
    const message = "Ready hook invocation timed out after PT5M";
    it.host.failNext("build", new ServiceError("BUILD_FAILED", message, { details }));
    await it.create();
    const path = `/2025-09-09/microvm-images/${IMAGE_ARN}/versions/1.0/builds`;
    const list = await sendSigned(it.harness, { method: "GET", path });
    const { items } = JSON.parse(list.body) as { items: { buildId: string }[] };
    const one = await sendSigned(it.harness, {
      method: "GET",
      path: `${path}/${items[0]?.buildId ?? ""}`,
    });
    const { stateReason, snapshotBuild } = JSON.parse(one.body) as Record<string, unknown>;
    assert.equal(stateReason, message);
    assert.deepEqual(snapshotBuild, {
      codeInstallSizeInBytes: 2000,
      memorySnapshotSizeInBytes: null,
      diskSnapshotSizeInBytes: null,
    });
  });

  it("have every member on the wire", async () => {
    await using it = await setUp();
    it.host.failNext("build", new ServiceError("BUILD_FAILED", "no"));
    await it.create();
    const path = `/2025-09-09/microvm-images/${IMAGE_ARN}/versions/1/builds`;
    const { body } = await sendSigned(it.harness, { method: "GET", path });
    const { items, nextToken } = JSON.parse(body) as {
      items: { buildId: string; createdAt: number }[];
      nextToken: null;
    };
    assert.equal(nextToken, null);
    const [item] = items;
    assert.equal(typeof item?.createdAt, "number");
    const expected = {
      ...{ ...BUILD_TARGET, ...item, imageArn: IMAGE_ARN, imageVersion: "1.0" },
      ...{ buildState: "FAILED", stateReason: "no", terminationReasonCode: null },
    };
    assert.deepEqual(item, expected);
    const one = await sendSigned(it.harness, {
      method: "GET",
      path: `${path}/${item?.buildId ?? ""}`,
    });
    assert.deepEqual(JSON.parse(one.body), { ...expected, snapshotBuild: null });
  });
});

describe("managed images", () => {
  it("exist in every account and region", async () => {
    await using it = await setUp();
    const pages = paginateListManagedMicrovmImages({ client: it.lambda, pageSize: 1 }, {});
    const seen: string[] = [];
    for await (const { items } of pages)
      for (const { imageArn, createdAt, updatedAt } of items ?? []) {
        seen.push(imageArn ?? "");
        assert.ok(createdAt instanceof Date && updatedAt instanceof Date);
      }
    const prefix = "arn:aws:lambda:us-east-1:aws:microvm-image:";
    assert.deepEqual(seen, [`${prefix}al2023-1`, `${prefix}debian-12`]);
    const raw = { method: "GET", path: "/2025-09-09/managed-microvm-images" };
    const elsewhere = await sendSigned(it.harness, raw, { region: "eu-north-1" });
    assert.match(elsewhere.body, /"arn:aws:lambda:eu-north-1:aws:microvm-image:al2023-1"/);
  });

  it("have versions in the bare form, newest first, and each can be built on", async () => {
    await using it = await setUp();
    const list = new ListManagedMicrovmImageVersionsCommand({ imageIdentifier: BASE_ARN });
    const { items } = await it.lambda.send(list);
    assert.deepEqual(
      items?.map(({ imageArn, imageVersion, status }) => [imageArn, imageVersion, status]),
      [
        [BASE_ARN, "1", "AVAILABLE"],
        [BASE_ARN, "0", "AVAILABLE"],
      ],
    );
    const create = (baseImageVersion: string) =>
      it.lambda.send(
        new CreateMicrovmImageCommand({
          ...CONFIGURATION,
          name: `base-${baseImageVersion.replace(".", "-")}`,
          baseImageVersion,
        }),
      );
    assert.equal((await create("0")).baseImageVersion, "0.0");
    assert.equal((await create("1")).baseImageVersion, "1.0");
    await assert.rejects(create("1.0"), {
      name: "ValidationException",
      message: `No managed MicroVM Image with arn ${BASE_ARN} and version 1.0 is available`,
    });
  });

  it("are looked up by ARN", async () => {
    await using it = await setUp();
    const list = (imageIdentifier: string) =>
      it.lambda.send(new ListManagedMicrovmImageVersionsCommand({ imageIdentifier }));
    await assert.rejects(list(IMAGE_ARN), {
      name: "ResourceNotFoundException",
      message: `MicroVMImage not found for MicroVMImageID: ${IMAGE_ARN}`,
    });
    await assert.rejects(list("al2023-1"), {
      name: "ValidationException",
      message: "Invalid ARN format: al2023-1",
    });
    const { items } = await it.lambda.send(new ListManagedMicrovmImagesCommand({ maxResults: 50 }));
    assert.equal(items?.length, 2);
  });
});

describe("tags", () => {
  const resource = { Resource: IMAGE_ARN };

  it("are merged, removed and listed, with no body where there is nothing to say", async () => {
    await using it = await setUp();
    await it.create("flask", { team: "a", stage: "dev" });
    const tagged = await it.lambda.send(
      new TagResourceCommand({ ...resource, Tags: { stage: "prod", "cost center": "7" } }),
    );
    assert.equal(tagged.$metadata.httpStatusCode, 204);
    const expected = { team: "a", stage: "prod", "cost center": "7" };
    assert.deepEqual((await it.lambda.send(new ListTagsCommand(resource))).Tags, expected);
    assert.deepEqual((await it.get()).tags, expected);
    for (const _time of ["first", "again"]) {
      const untag = new UntagResourceCommand({ ...resource, TagKeys: ["team", "cost center"] });
      assert.equal((await it.lambda.send(untag)).$metadata.httpStatusCode, 204);
    }
    assert.deepEqual((await it.lambda.send(new ListTagsCommand(resource))).Tags, { stage: "prod" });
    const { items } = await it.lambda.send(new ListMicrovmImageVersionsCommand(image));
    assert.equal(items?.length, 1);
  });

  it("are an object on the wire even when there are none", async () => {
    await using it = await setUp();
    await it.create();
    const path = `/2017-03-31/tags/${encodeURIComponent(IMAGE_ARN)}`;
    const list = await sendSigned(it.harness, { method: "GET", path });
    assert.deepEqual([list.status, list.body], [200, '{"Tags":{}}']);
    const body = JSON.stringify({ Tags: { a: "b" } });
    const tag = await sendSigned(it.harness, { method: "POST", path, body });
    assert.deepEqual([tag.status, tag.body], [204, ""]);
    assert.equal(tag.headers["content-type"], undefined);
    assert.equal(tag.headers["content-length"], undefined);
    const query = { method: "DELETE", path: `${path}?tagKeys=a&tagKeys=b` };
    const untag = await sendSigned(it.harness, query);
    assert.deepEqual([untag.status, untag.body], [204, ""]);
    assert.deepEqual((await it.get()).tags, {});
  });

  it("of network connectors are merged, removed and listed", async () => {
    await using it = await setUp();
    const { connectorArn } = await it.connector({ team: "a" });
    const tags = { Resource: connectorArn };
    await it.lambda.send(new TagResourceCommand({ ...tags, Tags: { stage: "prod", team: "b" } }));
    const list = () => it.lambda.send(new ListTagsCommand(tags));
    assert.deepEqual((await list()).Tags, { stage: "prod", team: "b" });
    const untag = new UntagResourceCommand({ ...tags, TagKeys: ["team", "nobody's"] });
    await assert.rejects(it.lambda.send(untag), { name: "ValidationException" });
    await it.lambda.send(new UntagResourceCommand({ ...tags, TagKeys: ["team", "none"] }));
    assert.deepEqual((await list()).Tags, { stage: "prod" });
    const nobody = `${connectorArn}0`;
    await assert.rejects(it.lambda.send(new ListTagsCommand({ Resource: nobody })), {
      name: "ResourceNotFoundException",
      message: `Network connector not found for: ${nobody}`,
    });
  });

  it("exist for ARNs of images and connectors alone", async () => {
    await using it = await setUp();
    for (const resource of [
      "flask",
      IMAGE_ARN.replace(":flask", "/flask"),
      "arn:aws:lambda:us-east-1:000000000000:microvm:microvm-0f0e0d0c-0b0a-3908-8706-050403020100",
    ]) {
      const path = `/2017-03-31/tags/${encodeURIComponent(resource)}`;
      const { status, headers, body } = await sendSigned(it.harness, { method: "GET", path });
      assert.equal(status, 400);
      assert.equal(headers["x-amzn-errortype"], "ValidationException");
      const { message } = JSON.parse(body) as { message: string };
      assert.ok(
        message.startsWith(
          `1 validation error detected: Value '${resource}' at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:`,
        ),
        message,
      );
    }
  });

  it("are refused in the service's words", async () => {
    await using it = await setUp();
    const path = `/2017-03-31/tags/${encodeURIComponent(IMAGE_ARN)}`;
    const refusal = async (method: string, target: string, body?: string) => {
      const raw = { method, path: target, ...(body === undefined ? {} : { body }) };
      const { status, body: answer } = await sendSigned(it.harness, raw);
      return [status, (JSON.parse(answer) as { message: string }).message];
    };
    assert.deepEqual(await refusal("GET", path), [
      404,
      `MicroVMImage not found for MicroVMImageID: ${IMAGE_ARN}`,
    ]);
    const missing = "1 validation error detected: Value null at";
    const constraint = "failed to satisfy constraint: Member must not be null";
    assert.deepEqual(await refusal("POST", path, "{}"), [400, `${missing} 'tags' ${constraint}`]);
    assert.deepEqual(await refusal("DELETE", path), [400, `${missing} 'tagKeys' ${constraint}`]);
    await it.create();
    const many = Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`k${index}`, ""]));
    assert.deepEqual(await refusal("POST", path, JSON.stringify({ Tags: many })), [
      400,
      "A resource can have at most 50 tags.",
    ]);
    const raw = { method: "POST", path, body: JSON.stringify({ Tags: many }) };
    const { headers, body } = await sendSigned(it.harness, raw);
    assert.equal(headers["x-amzn-errortype"], "InvalidParameterValueException");
    assert.deepEqual(JSON.parse(body), {
      Type: "User",
      message: "A resource can have at most 50 tags.",
    });
  });
});
