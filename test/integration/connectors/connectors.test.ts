// Network connectors in a whole domain over a real store: their life, and what RunMicrovm makes of them.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CreateConnectorInput } from "../../../src/connectors/operations.ts";
import { managedConnectorArn } from "../../../src/microvms/connectors.ts";
import type { Store } from "../../../src/store/store.ts";
import { ServiceError } from "../../../src/errors.ts";
import { SCOPE } from "../../fixtures/domain-records.ts";
import { eventually, type Harness, setUp } from "../scheduler/harness.ts";

const ROLE = "arn:aws:iam::000000000000:role/operator";
const CONFIGURATION = {
  subnetIds: ["subnet-0a", "subnet-0b"],
  securityGroupIds: ["sg-0a"],
  networkProtocol: "IPv4",
  associatedComputeResourceTypes: ["MicroVm"],
} as const;
const INPUT: CreateConnectorInput = {
  name: "vpc",
  configuration: CONFIGURATION,
  operatorRole: ROLE,
  clientToken: "t1",
};

const connectorsOf = (harness: Harness) => harness.domain.connectors;

async function settled(harness: Harness, identifier: string) {
  await eventually(async () => (await harness.store.connectors.listUnsettled()).length === 0);
  return connectorsOf(harness).get(SCOPE, identifier);
}

async function active(harness: Harness, input: Partial<CreateConnectorInput> = {}) {
  const { connectorId } = await connectorsOf(harness).create(SCOPE, { ...INPUT, ...input });
  return settled(harness, connectorId);
}

describe("create", () => {
  test("answers PENDING and becomes ACTIVE", async () => {
    await using harness = await setUp();
    const created = await connectorsOf(harness).create(SCOPE, INPUT);
    assert.equal(created.state, "PENDING");
    assert.match(created.connectorId, /^nc-[0-9a-f-]{36}$/);
    const { connectorId, connectorArn } = created;
    assert.equal(
      connectorArn,
      `arn:aws:lambda:us-east-1:000000000000:network-connector:${connectorId}`,
    );
    const expected = { ...created, state: "ACTIVE", stateReason: "Initial creation" };
    assert.deepEqual(await settled(harness, connectorId), expected);
    for (const identifier of [connectorArn, "vpc", `${connectorArn}:1`])
      assert.deepEqual(await connectorsOf(harness).get(SCOPE, identifier), expected);
  });

  test("demands in the service's words what its model calls optional", async () => {
    await using harness = await setUp();
    const without = (name: string) =>
      Object.fromEntries(Object.entries(INPUT).filter(([member]) => member !== name));
    const configured = (name: string) => ({
      configuration: Object.fromEntries(
        Object.entries(CONFIGURATION).filter(([member]) => member !== name),
      ),
    });
    const refusals: [object, string][] = [
      [without("clientToken"), "ClientToken is a required field"],
      [
        without("operatorRole"),
        "NetworkConnectorOperatorRole is required for VPC_EGRESS connector type",
      ],
      [{ ...INPUT, ...configured("networkProtocol") }, "NetworkProtocol cannot be null or empty"],
      [{ ...INPUT, ...configured("subnetIds") }, "SubnetIds cannot be null or empty"],
      [
        { ...INPUT, ...configured("associatedComputeResourceTypes") },
        "AssociatedComputeResourceTypes cannot be null or empty",
      ],
    ];
    for (const [input, message] of refusals)
      await assert.rejects(connectorsOf(harness).create(SCOPE, input as CreateConnectorInput), {
        code: "VALIDATION_FAILED",
        message,
      });
    assert.deepEqual(await harness.store.connectors.listUnsettled(), []);
  });

  test("takes a connector without security groups", async () => {
    await using harness = await setUp();
    const { securityGroupIds: _, ...configuration } = CONFIGURATION;
    const record = await active(harness, { configuration });
    assert.deepEqual(record.configuration, { ...CONFIGURATION, securityGroupIds: [] });
  });

  test("replays a token, also after a restart, and refuses it for anything else", async () => {
    await using harness = await setUp();
    const first = await active(harness);
    await harness.restart();
    const again = await connectorsOf(harness).create(SCOPE, INPUT);
    assert.deepEqual(again, first);
    await assert.rejects(
      connectorsOf(harness).create(SCOPE, { ...INPUT, name: "other" }),
      (error) => error instanceof ServiceError && error.code === "CONFLICT",
    );
  });

  test("refuses more connectors than the quota of the account and region", async () => {
    await using harness = await setUp();
    await active(harness);
    await active(harness, { name: "second", clientToken: "t2" });
    const third = { ...INPUT, name: "third", clientToken: "t3" };
    await assert.rejects(connectorsOf(harness).create(SCOPE, third), { code: "QUOTA_EXCEEDED" });
    await connectorsOf(harness).create({ ...SCOPE, region: "eu-west-1" }, third);
    await connectorsOf(harness).delete(SCOPE, "vpc");
    await eventually(async () => (await harness.store.connectors.find(SCOPE, "vpc")) === undefined);
    await connectorsOf(harness).create(SCOPE, third);
  });
});

describe("get", () => {
  test("names the ARN of what it does not find", async () => {
    await using harness = await setUp();
    const { connectorArn } = await active(harness);
    const missing = "arn:aws:lambda:us-east-1:000000000000:network-connector:other";
    const foreign = connectorArn.replace("us-east-1", "eu-west-1");
    for (const [identifier, arn] of [
      ["other", missing],
      [missing, missing],
      [foreign, foreign],
      [`${connectorArn}:2`, `${connectorArn}:2`],
    ] as const)
      await assert.rejects(connectorsOf(harness).get(SCOPE, identifier), {
        code: "NOT_FOUND",
        message: `Network connector not found for: ${arn}`,
      });
  });
});

describe("update", () => {
  test("makes a new version and keeps the connector ACTIVE", async () => {
    await using harness = await setUp();
    const before = await active(harness);
    harness.clock.advance(1000);
    const configuration = { ...CONFIGURATION, subnetIds: ["subnet-0c"] };
    const updated = await connectorsOf(harness).update(SCOPE, "vpc", { configuration });
    assert.deepEqual(updated, {
      ...before,
      configuration,
      version: 2,
      lastUpdateStatus: "InProgress",
      lastModified: before.lastModified + 1000,
    });
    const expected = { ...updated, lastUpdateStatus: "Successful" };
    assert.deepEqual(await settled(harness, "vpc"), expected);
    const role = await connectorsOf(harness).update(SCOPE, "vpc", { operatorRole: `${ROLE}2` });
    assert.deepEqual([role.version, role.operatorRole], [3, `${ROLE}2`]);
  });

  test("says so when nothing changes, whatever the order of subnets", async () => {
    await using harness = await setUp();
    const before = await active(harness);
    const subnetIds = CONFIGURATION.subnetIds.toReversed();
    const configuration = { ...CONFIGURATION, subnetIds };
    const updated = await connectorsOf(harness).update(SCOPE, "vpc", {
      configuration,
      operatorRole: ROLE,
    });
    assert.deepEqual(updated, {
      ...before,
      lastUpdateStatus: "Successful",
      lastUpdateStatusReason: "No configuration changes detected",
    });
    assert.deepEqual(await connectorsOf(harness).get(SCOPE, "vpc"), before);
  });

  test("does a token's change once and refuses another under the same token", async () => {
    await using harness = await setUp();
    await active(harness);
    const input = { operatorRole: `${ROLE}2`, clientToken: "u" };
    await connectorsOf(harness).update(SCOPE, "vpc", input);
    const again = await connectorsOf(harness).update(SCOPE, "vpc", input);
    assert.deepEqual([again.version, again.lastUpdateStatusReason], [2, null]);
    await assert.rejects(
      connectorsOf(harness).update(SCOPE, "vpc", { ...input, operatorRole: ROLE }),
      { code: "CONFLICT" },
    );
  });

  test("is refused in every state but ACTIVE", async () => {
    await using harness = await setUp();
    const { connectorId } = await active(harness);
    await harness.store.connectors.amend(connectorId, () => ({ state: "INACTIVE" }));
    const update = connectorsOf(harness).update(SCOPE, "vpc", { operatorRole: `${ROLE}2` });
    await assert.rejects(update, { code: "CONFLICT" });
  });
});

describe("delete", () => {
  test("answers DELETING and forgets the connector with its name and token", async () => {
    await using harness = await setUp();
    const { connectorId } = await active(harness);
    assert.equal((await connectorsOf(harness).delete(SCOPE, "vpc")).state, "DELETING");
    await eventually(async () => (await harness.store.connectors.find(SCOPE, "vpc")) === undefined);
    await assert.rejects(connectorsOf(harness).delete(SCOPE, "vpc"), { code: "NOT_FOUND" });
    assert.notEqual((await active(harness)).connectorId, connectorId);
  });

  test("does not take the version for the whole", async () => {
    await using harness = await setUp();
    const { connectorArn } = await active(harness);
    await assert.rejects(connectorsOf(harness).delete(SCOPE, `${connectorArn}:1`), {
      code: "VALIDATION_FAILED",
    });
    assert.equal((await connectorsOf(harness).get(SCOPE, "vpc")).state, "ACTIVE");
  });
});

describe("provisioning", () => {
  test("finishes what an earlier service left", async () => {
    await using harness = await setUp();
    const { connectorId } = await active(harness);
    const other = await active(harness, { name: "other", clientToken: "t2" });
    await harness.restart(async () => {
      await harness.store.connectors.amend(connectorId, () => ({ state: "DELETING" }));
      const change = { lastUpdateStatus: "InProgress" } as const;
      await harness.store.connectors.amend(other.connectorId, () => change);
    });
    assert.equal((await settled(harness, "other")).lastUpdateStatus, "Successful");
    assert.equal(await harness.store.connectors.find(SCOPE, connectorId), undefined);
  });

  test("goes on after a write that failed", async () => {
    let failures = 1;
    const wrap = (store: Store): Store => ({
      ...store,
      connectors: {
        ...store.connectors,
        async listUnsettled() {
          if (failures-- > 0) throw new ServiceError("STORAGE_FULL", "The disk is full");
          return store.connectors.listUnsettled();
        },
      },
    });
    await using harness = await setUp({ wrap });
    const { connectorId } = await connectorsOf(harness).create(SCOPE, INPUT);
    await eventually(() => failures === 0);
    assert.equal((await connectorsOf(harness).get(SCOPE, connectorId)).state, "PENDING");
    await eventually(async () => {
      harness.clock.advance(5000);
      return (await connectorsOf(harness).get(SCOPE, connectorId)).state === "ACTIVE";
    });
  });
});

describe("RunMicrovm", () => {
  test("takes an ACTIVE connector, echoes its ARN and keeps egress closed", async () => {
    await using harness = await setUp();
    const { connectorArn } = await active(harness);
    const microvmId = await harness.running({ egressNetworkConnectors: [connectorArn] });
    const { egressNetworkConnectors } = await harness.record(microvmId);
    assert.deepEqual(egressNetworkConnectors, [connectorArn]);
    assert.deepEqual(harness.host.runs.at(-1)?.egress, { internet: false });
    const both = [connectorArn, managedConnectorArn(SCOPE.region, "INTERNET_EGRESS")];
    await harness.running({ egressNetworkConnectors: both });
    assert.deepEqual(harness.host.runs.at(-1)?.egress, { internet: true });
  });

  test("refuses a connector that was deleted", async () => {
    await using harness = await setUp();
    const { connectorArn } = await active(harness);
    await connectorsOf(harness).delete(SCOPE, "vpc");
    await eventually(async () => (await harness.store.connectors.find(SCOPE, "vpc")) === undefined);
    await assert.rejects(harness.run({ egressNetworkConnectors: [connectorArn] }), {
      code: "NOT_FOUND",
      message: `Network connector not found for: ${connectorArn}`,
    });
  });
});
