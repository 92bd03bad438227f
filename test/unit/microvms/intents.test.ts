import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import {
  resumeIntent,
  suspendIntent,
  terminateIntent,
} from "../../../src/microvms/create-operations.ts";
import type { DesiredState, MicrovmRecord } from "../../../src/microvms/records.ts";
import type { MicrovmState } from "../../../src/microvms/state.ts";
import type { MicrovmPatch } from "../../../src/store/store.ts";
import { someMicrovm } from "../../fixtures/domain-records.ts";

type Intent = (record: MicrovmRecord) => MicrovmPatch | null;

function outcome(intent: Intent, state: MicrovmState, desired: DesiredState): string {
  try {
    return intent(someMicrovm({ state, desired }))?.desired ?? "nothing";
  } catch (error) {
    if (isServiceError(error)) return error.code;
    throw error;
  }
}

const table: readonly (readonly [MicrovmState, DesiredState, string, string, string])[] = [
  // state, desired, suspend, resume, terminate
  ["PENDING", "RUNNING", "SUSPENDED", "CONFLICT", "TERMINATED"],
  ["PENDING", "SUSPENDED", "nothing", "RUNNING", "TERMINATED"],
  ["RUNNING", "RUNNING", "SUSPENDED", "CONFLICT", "TERMINATED"],
  ["RUNNING", "SUSPENDED", "nothing", "RUNNING", "TERMINATED"],
  ["SUSPENDING", "SUSPENDED", "nothing", "RUNNING", "TERMINATED"],
  ["SUSPENDING", "RUNNING", "SUSPENDED", "nothing", "TERMINATED"],
  ["SUSPENDED", "SUSPENDED", "nothing", "RUNNING", "TERMINATED"],
  ["SUSPENDED", "RUNNING", "SUSPENDED", "nothing", "TERMINATED"],
  ["RUNNING", "TERMINATED", "VALIDATION_FAILED", "VALIDATION_FAILED", "nothing"],
  ["TERMINATING", "TERMINATED", "VALIDATION_FAILED", "VALIDATION_FAILED", "nothing"],
  ["TERMINATED", "TERMINATED", "VALIDATION_FAILED", "VALIDATION_FAILED", "nothing"],
];

describe("intents", () => {
  for (const [state, desired, suspend, resume, terminate] of table) {
    test(`in ${state} wanted ${desired}: suspend ${suspend}, resume ${resume}, terminate ${terminate}`, () => {
      assert.equal(outcome(suspendIntent, state, desired), suspend);
      assert.equal(outcome(resumeIntent, state, desired), resume);
      assert.equal(outcome(terminateIntent, state, desired), terminate);
    });
  }

  test("suspending what is terminated is refused in the service's words", () => {
    const record = someMicrovm({ state: "TERMINATED", desired: "TERMINATED" });
    assert.throws(() => suspendIntent(record), {
      message: `The MicroVM ${record.microvmId} has been terminated and its state cannot be changed.`,
    });
  });

  test("terminating drops the reason of an earlier failure", () => {
    const record = someMicrovm({ state: "RUNNING", stateReason: "a suspend failed" });
    assert.deepEqual(terminateIntent(record), { desired: "TERMINATED", stateReason: null });
  });
});
