import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connectorArnOf } from "../../../src/connectors/arn.ts";
import type { ConnectorRecord } from "../../../src/connectors/records.ts";
import { CONNECTOR_STATES } from "../../../src/connectors/state.ts";
import {
  type ConnectorDirection,
  egressPolicyOf,
  managedConnectorArn,
  resolveConnectors,
} from "../../../src/microvms/connectors.ts";
import type { Scope } from "../../../src/microvms/records.ts";
import { someConnector } from "../../fixtures/domain-records.ts";

const REGION = "eu-west-1";
const HTTP = `arn:aws:lambda:${REGION}:aws:network-connector:aws-network-connector:HTTP_INGRESS`;
const INTERNET = `arn:aws:lambda:${REGION}:aws:network-connector:aws-network-connector:INTERNET_EGRESS`;

const SCOPE = { account: "000000000000", region: REGION };
const OWN = someConnector({
  ...SCOPE,
  state: "ACTIVE",
  connectorId: "nc-1",
  connectorArn: connectorArnOf(SCOPE, "nc-1"),
  version: 2,
});

/** Resolves where `record` is the only connector of the customer. */
function resolve(
  direction: ConnectorDirection,
  given: readonly string[] | undefined,
  record: ConnectorRecord = OWN,
): Promise<readonly string[]> {
  const find = async (scope: Scope, idOrName: string) =>
    scope.account === record.account &&
    scope.region === record.region &&
    [record.connectorId, record.name].includes(idOrName)
      ? record
      : undefined;
  return resolveConnectors({ connectors: { find } }, SCOPE, { direction, given });
}

describe("resolveConnectors", () => {
  test("defaults to the managed connectors of the region", async () => {
    assert.deepEqual(await resolve("ingress", undefined), [HTTP]);
    assert.deepEqual(await resolve("egress", undefined), [INTERNET]);
  });

  test("keeps known connectors in the order given", async () => {
    const given = ["SHELL_INGRESS", "HTTP_INGRESS", "NO_INGRESS", "ALL_INGRESS"] as const;
    const arns = given.map((name) => managedConnectorArn(REGION, name));
    assert.deepEqual(await resolve("ingress", arns), arns);
  });

  test("takes an ACTIVE connector of the customer's own, by its ARN alone", async () => {
    const arns = [OWN.connectorArn, INTERNET];
    assert.deepEqual(await resolve("egress", arns), arns);
    const versioned = [`${OWN.connectorArn}:2`];
    assert.deepEqual(await resolve("egress", versioned), versioned);
    await assert.rejects(resolve("egress", ["nc-1"]), { code: "VALIDATION_FAILED" });
  });

  test("refuses a connector of the customer's own that cannot be used", async () => {
    for (const state of CONNECTOR_STATES.filter((each) => each !== "ACTIVE"))
      await assert.rejects(resolve("egress", [OWN.connectorArn], { ...OWN, state }), {
        code: "VALIDATION_FAILED",
        message: `Network connector ${OWN.connectorArn} is not ACTIVE, its state is: ${state}`,
      });
    await assert.rejects(resolve("ingress", [OWN.connectorArn]), {
      code: "VALIDATION_FAILED",
      message: `Network connector ${OWN.connectorArn} cannot be used as an ingress connector`,
    });
    await assert.rejects(resolve("egress", [`${OWN.connectorArn}:1`]), { code: "NOT_FOUND" });
  });

  test("refuses what is no connector ARN, in the service's words", async () => {
    for (const bad of ["", "HTTP_INGRESS", "arn:aws:iam::1:role/x"]) {
      await assert.rejects(resolve("ingress", [bad]), {
        code: "VALIDATION_FAILED",
        message: "Malformed network connector ARN",
      });
    }
  });

  test("refuses an empty list rather than opening what was meant to be closed", async () => {
    await assert.rejects(resolve("egress", []), { code: "VALIDATION_FAILED" });
  });

  test("refuses connectors of the other direction, of other regions and unknown ones", async () => {
    await assert.rejects(resolve("egress", [HTTP]), { code: "VALIDATION_FAILED" });
    const foreign = [
      managedConnectorArn("us-east-1", "INTERNET_EGRESS"),
      connectorArnOf({ ...SCOPE, account: "111111111111" }, "nc-1"),
      connectorArnOf({ ...SCOPE, region: "us-east-1" }, "nc-1"),
      connectorArnOf(SCOPE, "nc-2"),
    ];
    for (const arn of foreign)
      await assert.rejects(resolve("egress", [arn]), {
        code: "NOT_FOUND",
        message: `Network connector not found for: ${arn}`,
      });
  });
});

test("egressPolicyOf opens the internet only for the connector that says so", () => {
  assert.deepEqual(egressPolicyOf(REGION, [INTERNET]), { internet: true });
  assert.deepEqual(egressPolicyOf(REGION, []), { internet: false });
  assert.deepEqual(egressPolicyOf(REGION, [OWN.connectorArn]), { internet: false });
  assert.deepEqual(egressPolicyOf(REGION, [OWN.connectorArn, INTERNET]), { internet: true });
  assert.deepEqual(egressPolicyOf("us-east-1", [INTERNET]), { internet: false });
});
