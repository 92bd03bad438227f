// A second account on a running service: its key counts at once, it builds from its own bucket and runs its own microVM,
// and it is out again when its key is ended.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import {
  GetMicrovmCommand,
  ListMicrovmImagesCommand,
  ListMicrovmsCommand,
  RunMicrovmCommand,
  TerminateMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import {
  buildReason,
  type Clients,
  createClients,
  createImage,
  poll,
  uploadArtifact,
  waitForBuild,
  waitForState,
  zipFiles,
} from "../../scripts/walkthrough/client.ts";
import { REPOSITORY } from "../../scripts/walkthrough/service.ts";
import { startTestService, type TestService } from "./support/test-service.ts";

const TORPOR = path.join(REPOSITORY, "bin/torpor");
const ACCOUNT = "111122223333";

describe("a second account", { timeout: 600_000 }, () => {
  let service: TestService;
  let other: Clients;

  const torpor = (...args: string[]) =>
    execFileSync(TORPOR, [...args, "--data-dir", service.dataDir], { encoding: "utf8" });

  before(async () => {
    service = await startTestService();
    torpor("keys", "create", "--account", ACCOUNT);
    const environment = JSON.parse(torpor("env", "--json", "--account", ACCOUNT)) as Record<
      string,
      string
    >;
    other = createClients({ ...service.service, environment });
  });

  after(async () => {
    other[Symbol.dispose]();
    await service[Symbol.asyncDispose]();
  });

  test("builds from its own bucket and runs what nobody else sees", async () => {
    const zip = await zipFiles({
      Dockerfile: 'FROM debian:bookworm-slim\nCMD ["sleep", "1000"]\n',
    });
    const uri = await uploadArtifact(other, "app.zip", zip);
    const foreign = await createImage(service.clients, "app", uri);
    const imageArn = await createImage(other, "app", uri);
    assert.equal(imageArn, `arn:aws:lambda:${other.region}:${ACCOUNT}:microvm-image:app`);
    assert.equal((await waitForBuild(service.clients, foreign)).state, "FAILED");
    assert.match(await buildReason(service.clients, foreign), /no such bucket/);
    assert.equal((await waitForBuild(other, imageArn)).state, "SUCCESSFUL");

    const run = new RunMicrovmCommand({ imageIdentifier: imageArn });
    const { microvmId: microvmIdentifier = "" } = await other.microvms.send(run);
    await waitForState(other, microvmIdentifier, ["RUNNING"]);
    const ours = service.clients.microvms;
    assert.deepEqual((await ours.send(new ListMicrovmsCommand({}))).items, []);
    await assert.rejects(ours.send(new GetMicrovmCommand({ microvmIdentifier })), {
      name: "ResourceNotFoundException",
    });
    await other.microvms.send(new TerminateMicrovmCommand({ microvmIdentifier }));
    await waitForState(other, microvmIdentifier, ["TERMINATED"]);
  });

  test("is out when its key is ended, and loses nothing", async () => {
    torpor("keys", "delete", other.service.environment["AWS_ACCESS_KEY_ID"] ?? "");
    const names = async ({ microvms }: Clients) =>
      (await microvms.send(new ListMicrovmImagesCommand({}))).items?.map(({ name }) => name);
    const refusal = await poll(10_000, "the key to be refused", () =>
      names(other).then(
        () => undefined,
        (error: unknown) => error as Error,
      ),
    );
    assert.equal(refusal.name, "UnrecognizedClientException");
    const { accessKeyId, secretAccessKey } = JSON.parse(
      torpor("keys", "create", "--json", "--account", ACCOUNT),
    ) as Record<"accessKeyId" | "secretAccessKey", string>;
    using again = createClients({
      ...other.service,
      environment: {
        ...other.service.environment,
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
      },
    });
    assert.deepEqual(await names(again), ["app"]);
  });
});
