// The egress connector of an image: what its build may reach.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  CreateMicrovmImageCommand,
  GetMicrovmImageVersionCommand,
  RunMicrovmCommand,
  UpdateMicrovmImageCommand,
} from "@aws-sdk/client-lambda-microvms";
import { HTTP_INGRESS, INTERNET_EGRESS } from "../../unit/api/fixtures.ts";
import { CONFIGURATION, image, setUp } from "./image-service.ts";

type Service = Awaited<ReturnType<typeof setUp>>;

const create = ({ lambda }: Service, ...egressNetworkConnectors: string[]) =>
  lambda.send(
    new CreateMicrovmImageCommand({ ...CONFIGURATION, name: "flask", egressNetworkConnectors }),
  );

describe("egressNetworkConnectors of an image", () => {
  it("may be a connector of the customer's own, which is for the build alone", async () => {
    await using it = await setUp();
    const { connectorArn } = await it.connector();
    const created = await create(it, connectorArn);
    assert.deepEqual(created.egressNetworkConnectors, [connectorArn]);
    await it.atRest();
    const version = await it.lambda.send(
      new GetMicrovmImageVersionCommand({ ...image, imageVersion: "1.0" }),
    );
    assert.deepEqual(
      [version.state, version.egressNetworkConnectors],
      ["SUCCESSFUL", [connectorArn]],
    );
    assert.deepEqual(it.host.builds.at(-1)?.egress, { internet: false });
    const run = await it.lambda.send(new RunMicrovmCommand(image));
    assert.deepEqual(run.egressNetworkConnectors, [INTERNET_EGRESS]);
    const update = new UpdateMicrovmImageCommand({ ...image, ...CONFIGURATION });
    assert.deepEqual((await it.lambda.send(update)).egressNetworkConnectors, [INTERNET_EGRESS]);
  });

  it("must exist, be ACTIVE and lead outwards", async () => {
    await using it = await setUp();
    const { connectorArn, connectorId } = await it.connector();
    await assert.rejects(create(it, `${connectorArn}0`), {
      name: "ResourceNotFoundException",
      message: `Network connector not found for: ${connectorArn}0`,
    });
    await it.store.connectors.amend(connectorId, () => ({ state: "INACTIVE" }));
    const refusals = {
      [connectorArn]: `Network connector ${connectorArn} is not ACTIVE, its state is: INACTIVE`,
      [HTTP_INGRESS]: `Network connector ${HTTP_INGRESS} cannot be used as an egress connector`,
      INTERNET_EGRESS: "Malformed network connector ARN",
    };
    for (const [given, message] of Object.entries(refusals))
      await assert.rejects(create(it, given), { name: "ValidationException", message });
    await assert.rejects(create(it, INTERNET_EGRESS, INTERNET_EGRESS), {
      name: "ValidationException",
      message:
        /at 'egressNetworkConnectors' failed to satisfy constraint: Member must have length less than or equal to 1$/,
    });
  });
});
