import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  egressPolicyOf,
  managedConnectorArn,
  resolveConnectors,
} from "../../../src/microvms/connectors.ts";

const REGION = "eu-west-1";
const HTTP = `arn:aws:lambda:${REGION}:aws:network-connector:aws-network-connector:HTTP_INGRESS`;
const INTERNET = `arn:aws:lambda:${REGION}:aws:network-connector:aws-network-connector:INTERNET_EGRESS`;

describe("resolveConnectors", () => {
  test("defaults to the managed connectors of the region", () => {
    assert.deepEqual(resolveConnectors(REGION, "ingress", undefined), [HTTP]);
    assert.deepEqual(resolveConnectors(REGION, "egress", undefined), [INTERNET]);
  });

  test("keeps known connectors in the order given", () => {
    const given = ["SHELL_INGRESS", "HTTP_INGRESS", "NO_INGRESS", "ALL_INGRESS"] as const;
    const arns = given.map((name) => managedConnectorArn(REGION, name));
    assert.deepEqual(resolveConnectors(REGION, "ingress", arns), arns);
  });

  test("refuses what is no connector ARN, in the service's words", () => {
    for (const bad of ["", "HTTP_INGRESS", "arn:aws:iam::1:role/x"]) {
      assert.throws(() => resolveConnectors(REGION, "ingress", [bad]), {
        code: "VALIDATION_FAILED",
        message: "Malformed network connector ARN",
      });
    }
  });

  test("refuses an empty list rather than opening what was meant to be closed", () => {
    assert.throws(() => resolveConnectors(REGION, "egress", []), { code: "VALIDATION_FAILED" });
  });

  test("refuses connectors of the other direction, of other regions and unknown ones", () => {
    assert.throws(() => resolveConnectors(REGION, "egress", [HTTP]), { code: "VALIDATION_FAILED" });
    const foreign = managedConnectorArn("us-east-1", "INTERNET_EGRESS");
    assert.throws(() => resolveConnectors(REGION, "egress", [foreign]), { code: "NOT_FOUND" });
    const custom = `arn:aws:lambda:${REGION}:000000000000:network-connector:nc-1`;
    assert.throws(() => resolveConnectors(REGION, "egress", [custom]), {
      code: "NOT_FOUND",
      message: `Network connector not found for: ${custom}`,
    });
  });
});

test("egressPolicyOf opens the internet only for the connector that says so", () => {
  assert.deepEqual(egressPolicyOf(REGION, [INTERNET]), { internet: true });
  assert.deepEqual(egressPolicyOf(REGION, []), { internet: false });
  assert.deepEqual(egressPolicyOf("us-east-1", [INTERNET]), { internet: false });
});
