// Several accounts and regions in one service: each sees its own and nothing of the others.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  CreateMicrovmAuthTokenCommand,
  CreateMicrovmImageCommand,
  GetMicrovmCommand,
  GetMicrovmImageCommand,
  LambdaMicrovmsClient,
  ListMicrovmImagesCommand,
  ListMicrovmsCommand,
  ListTagsCommand,
  RunMicrovmCommand,
  TerminateMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { IMAGE_ARN, REGION } from "../../unit/api/fixtures.ts";
import { KEY, OTHER_ACCOUNT, OTHER_KEY, sendSigned } from "./harness.ts";
import { CONFIGURATION, image, setUp } from "./image-service.ts";

const OTHER_REGION = "eu-west-1";

/** A service with an image and a microVM of one account in one region, and clients of three neighbours. */
async function neighbours() {
  await using acquired = new AsyncDisposableStack();
  const it = acquired.use(await setUp());
  await it.create("flask", { team: "a" });
  const { microvmId = "" } = await it.lambda.send(new RunMicrovmCommand(image));
  const client = (region: string, credentials: typeof KEY) => {
    const { endpoint } = it.harness;
    const made = new LambdaMicrovmsClient({ endpoint, region, credentials, maxAttempts: 1 });
    acquired.defer(() => made.destroy());
    return made;
  };
  const others = [
    client(REGION, OTHER_KEY),
    client(OTHER_REGION, KEY),
    client(OTHER_REGION, OTHER_KEY),
  ];
  const resources = acquired.move();
  return { ...it, microvmId, others, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

describe("accounts and regions", () => {
  it("do not see each other's images and microVMs", async () => {
    await using it = await neighbours();
    const { microvmId } = it;
    for (const lambda of it.others) {
      assert.deepEqual((await lambda.send(new ListMicrovmImagesCommand({}))).items, []);
      assert.deepEqual((await lambda.send(new ListMicrovmsCommand({}))).items, []);
      const target = { microvmIdentifier: microvmId };
      const token = { ...target, expirationInMinutes: 1, allowedPorts: [{ allPorts: {} }] };
      for (const command of [
        new GetMicrovmCommand(target),
        new TerminateMicrovmCommand(target),
        new CreateMicrovmAuthTokenCommand(token),
      ])
        await assert.rejects(lambda.send(command as GetMicrovmCommand), {
          name: "ResourceNotFoundException",
          message: `MicroVM not found: ${microvmId}`,
        });
      const isRefused = { name: /^(AccessDenied|ResourceNotFound)Exception$/ };
      await assert.rejects(lambda.send(new GetMicrovmImageCommand(image)), isRefused);
      await assert.rejects(lambda.send(new RunMicrovmCommand(image)), isRefused);
      await assert.rejects(lambda.send(new ListTagsCommand({ Resource: IMAGE_ARN })), isRefused);
    }
    assert.equal((await it.lambda.send(new ListMicrovmsCommand({}))).items?.length, 1);
  });

  it("have names, client tokens and quotas of their own", async () => {
    await using it = await neighbours();
    const create = (lambda: LambdaMicrovmsClient, name: string) =>
      lambda.send(new CreateMicrovmImageCommand({ ...CONFIGURATION, name, clientToken: name }));
    await create(it.lambda, "second");
    await assert.rejects(create(it.lambda, "third"), { name: "ServiceQuotaExceededException" });
    const [other] = it.others;
    assert.ok(other);
    const { imageArn } = await create(other, "second");
    assert.equal(imageArn, `arn:aws:lambda:${REGION}:${OTHER_ACCOUNT}:microvm-image:second`);
    const path = "/2025-09-09/microvm-images?maxResults=1";
    const { body } = await sendSigned(it.harness, { method: "GET", path });
    const { nextToken } = JSON.parse(body) as { nextToken: string };
    const raw = { method: "GET", path: `${path}&nextToken=${nextToken}` };
    assert.equal((await sendSigned(it.harness, raw)).status, 200);
    assert.equal((await sendSigned(it.harness, raw, OTHER_KEY)).status, 400);
  });

  it("are told apart by the key that signs", async () => {
    await using it = await neighbours();
    const { endpoint } = it.harness;
    const sts = new STSClient({ endpoint, region: REGION, credentials: OTHER_KEY });
    const { Account } = await sts.send(new GetCallerIdentityCommand({}));
    assert.equal(Account, OTHER_ACCOUNT);
    sts.destroy();
    const mixed = { accessKeyId: KEY.accessKeyId, secretAccessKey: OTHER_KEY.secretAccessKey };
    const raw = { method: "GET", path: "/2025-09-09/microvms" };
    const { status, headers } = await sendSigned(it.harness, raw, mixed);
    assert.deepEqual([status, headers["x-amzn-errortype"]], [403, "InvalidSignatureException"]);
  });
});
