import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { z } from "zod";
import * as schemas from "../../../src/api/connector-schemas.ts";
import { parseInput } from "../../../src/api/validation.ts";

const ROLE = "arn:aws:iam::000000000000:role/operator";
const VPC = {
  SubnetIds: ["subnet-0a"],
  SecurityGroupIds: ["sg-0A"],
  NetworkProtocol: "DualStack",
  AssociatedComputeResourceTypes: ["MicroVm"],
};
const CREATE = {
  Name: "vpc",
  Configuration: { VpcEgressConfiguration: VPC },
  OperatorRole: ROLE,
  ClientToken: "t",
  Tags: { Team: "a", lower: "b" },
};

/** What is wrong with a create request in which the members of its VPC configuration are replaced. */
function flawsOf(vpc: object, request: object = {}): string {
  const raw = { ...CREATE, Configuration: { VpcEgressConfiguration: { ...VPC, ...vpc } } };
  return refusalOf(schemas.createNetworkConnector, { ...raw, ...request });
}

function refusalOf(schema: z.ZodType, raw: unknown): string {
  let refusal = "";
  assert.throws(
    () => parseInput(schema, raw),
    (error: Error) => {
      refusal = error.message;
      return true;
    },
  );
  return refusal;
}

describe("createNetworkConnector", () => {
  it("turns the wire members into the domain's input and leaves tags as they are", () => {
    assert.deepEqual(parseInput(schemas.createNetworkConnector, CREATE), {
      name: "vpc",
      configuration: {
        subnetIds: ["subnet-0a"],
        securityGroupIds: ["sg-0A"],
        networkProtocol: "DualStack",
        associatedComputeResourceTypes: ["MicroVm"],
      },
      operatorRole: ROLE,
      clientToken: "t",
      tags: { Team: "a", lower: "b" },
    });
  });

  it("leaves it to the domain to demand what the model calls optional", () => {
    const raw = { Name: "vpc", Configuration: { VpcEgressConfiguration: { SubnetIds: null } } };
    assert.deepEqual(parseInput(schemas.createNetworkConnector, raw), {
      name: "vpc",
      configuration: {},
    });
  });

  it("ignores members spelled in another case", () => {
    assert.equal(
      refusalOf(schemas.createNetworkConnector, { name: "vpc", configuration: {} }),
      "2 validation errors detected: Value null at 'configuration' failed to satisfy constraint: Member must not be null; " +
        "Value null at 'name' failed to satisfy constraint: Member must not be null",
    );
  });

  it("names members in camelCase", () => {
    const at = "Value '[]' at 'configuration.vpcEgressConfiguration";
    assert.equal(
      flawsOf({ SubnetIds: [] }),
      `1 validation error detected: ${at}.subnetIds' failed to satisfy constraint: Member must have length greater than or equal to 1`,
    );
    assert.match(flawsOf({ AssociatedComputeResourceTypes: [] }), /associatedComputeResourceTypes/);
  });

  it("keeps to the counts of subnets and security groups", () => {
    const many = (prefix: string, count: number) =>
      Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
    const most = { SubnetIds: many("subnet", 16), SecurityGroupIds: many("sg", 5) };
    const raw = { ...CREATE, Configuration: { VpcEgressConfiguration: { ...VPC, ...most } } };
    assert.doesNotThrow(() => parseInput(schemas.createNetworkConnector, raw));
    assert.match(flawsOf({ SubnetIds: many("subnet", 17) }), /subnetIds'.* equal to 16$/);
    assert.match(flawsOf({ SecurityGroupIds: many("sg", 6) }), /securityGroupIds'.* equal to 5$/);
  });

  it("refuses ids, protocols, roles and names that are none", () => {
    assert.match(flawsOf({ SubnetIds: ["vpc-1"] }), /pattern: subnet-\[0-9a-z\]\*, /);
    assert.match(flawsOf({ SecurityGroupIds: ["x"] }), /pattern: sg-\[0-9a-zA-Z\]\*, /);
    assert.match(flawsOf({ NetworkProtocol: "IPv6" }), /enum value set: \[IPv4, DualStack\]$/);
    assert.match(flawsOf({}, { OperatorRole: "me" }), /at 'operatorRole'/);
    assert.match(flawsOf({}, { Name: "a b" }), /Value 'a b' at 'name'/);
    assert.match(flawsOf({}, { ClientToken: "t".repeat(65) }), /^1 .*Value at 'clientToken'/);
    assert.match(flawsOf({}, { Configuration: {} }), /'configuration'.* exactly one member set$/);
  });
});

describe("updateNetworkConnector", () => {
  it("takes a configuration, a role or neither", () => {
    assert.deepEqual(parseInput(schemas.updateNetworkConnector, { Identifier: "nc-1" }), {
      identifier: "nc-1",
    });
    const raw = { Identifier: "nc-1", OperatorRole: ROLE };
    assert.deepEqual(parseInput(schemas.updateNetworkConnector, raw), {
      identifier: "nc-1",
      operatorRole: ROLE,
    });
  });

  it("refuses an identifier of more than 140 characters", () => {
    const raw = { Identifier: "n".repeat(141) };
    assert.match(refusalOf(schemas.updateNetworkConnector, raw), /at 'identifier'.* equal to 140$/);
  });
});

describe("listNetworkConnectors", () => {
  it("has a page size of fifty, which is also the largest", () => {
    assert.deepEqual(parseInput(schemas.listNetworkConnectors, {}), { maxItems: 50 });
    assert.deepEqual(
      parseInput(schemas.listNetworkConnectors, { MaxItems: "100", State: "ACTIVE" }),
      {
        maxItems: 50,
        state: "ACTIVE",
      },
    );
    assert.deepEqual(parseInput(schemas.listNetworkConnectors, { MaxItems: "3", Marker: "m" }), {
      maxItems: 3,
      marker: "m",
    });
  });

  it("refuses page sizes and states that are none", () => {
    for (const MaxItems of ["0", "101"])
      assert.match(refusalOf(schemas.listNetworkConnectors, { MaxItems }), /at 'maxItems'/);
    assert.match(
      refusalOf(schemas.listNetworkConnectors, { State: "GONE" }),
      /enum value set: \[PENDING, ACTIVE, INACTIVE, FAILED, DELETING, DELETE_FAILED\]$/,
    );
  });
});
