import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImageVersionState } from "../../../src/images/records.ts";
import { buildsOf } from "../../../src/images/version-operations.ts";
import { CPU_TARGET, someImage } from "../../fixtures/domain-records.ts";

const { version } = someImage();
const stateOf = (state: ImageVersionState, stateReason: string | null = null) =>
  buildsOf({ ...version, state, stateReason }).map(({ buildState }) => buildState);

test("buildsOf has one build for the CPU target of the version", () => {
  const { imageArn, imageVersion, buildId, createdAt } = version;
  assert.deepEqual(buildsOf(version), [
    {
      ...{ ...CPU_TARGET, imageArn, imageVersion, buildId, createdAt },
      ...{ buildState: "PENDING", stateReason: null, sizes: null },
    },
  ]);
});

test("buildsOf keeps how a build ended while its version is deleted", () => {
  for (const state of ["PENDING", "IN_PROGRESS", "SUCCESSFUL", "FAILED"] as const)
    assert.deepEqual(stateOf(state), [state]);
  for (const state of ["DELETING", "DELETE_FAILED"] as const) {
    assert.deepEqual(stateOf(state), ["SUCCESSFUL"]);
    assert.deepEqual(stateOf(state, "no"), ["FAILED"]);
  }
});
