import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { MicrovmState } from "../../../src/microvms/state.ts";
import {
  planRecovery,
  REASON_STATE_LOST,
  REASON_VMM_LOST,
  type Recovery,
} from "../../../src/scheduler/reclaim.ts";
import { someMicrovm } from "../../fixtures/domain-records.ts";

type Host = "nothing" | "vmm" | "other vmm" | "saved" | "vmm and saved";

function recover(state: MicrovmState, host: Host): Recovery["do"] | string {
  const record = someMicrovm({ state, vmmId: "vmm-1" });
  const { microvmId } = record;
  const vmmId = host === "other vmm" ? "vmm-0" : "vmm-1";
  const hasVmm = host !== "nothing" && host !== "saved";
  const recovery = planRecovery(record, {
    running: hasVmm ? { microvmId, vmmId, address: "a" } : undefined,
    isSuspended: host === "saved" || host === "vmm and saved",
  });
  if (recovery.do === "giveUp") return recovery.reason;
  return recovery.do === "adopt" ? `adopt, greeted: ${recovery.isGreeted}` : recovery.do;
}

const TABLE: Record<MicrovmState, Record<Host, string>> = {
  PENDING: {
    nothing: "startOver",
    vmm: "startOver",
    "other vmm": "startOver",
    saved: "startOver",
    "vmm and saved": "startOver",
  },
  RUNNING: {
    nothing: REASON_VMM_LOST,
    vmm: "adopt, greeted: true",
    "other vmm": REASON_VMM_LOST,
    saved: REASON_VMM_LOST,
    "vmm and saved": "adopt, greeted: true",
  },
  SUSPENDING: {
    nothing: REASON_VMM_LOST,
    vmm: "adopt, greeted: true",
    "other vmm": REASON_VMM_LOST,
    saved: "acceptSaved",
    "vmm and saved": "adopt, greeted: true",
  },
  SUSPENDED: {
    nothing: REASON_STATE_LOST,
    vmm: "adopt, greeted: false",
    "other vmm": REASON_STATE_LOST,
    saved: "keep",
    "vmm and saved": "adopt, greeted: false",
  },
  TERMINATING: {
    nothing: "keep",
    vmm: "keep",
    "other vmm": "keep",
    saved: "keep",
    "vmm and saved": "keep",
  },
  TERMINATED: {
    nothing: "keep",
    vmm: "keep",
    "other vmm": "keep",
    saved: "keep",
    "vmm and saved": "keep",
  },
};

describe("planRecovery", () => {
  for (const [state, row] of Object.entries(TABLE) as [MicrovmState, Record<Host, string>][]) {
    for (const [host, expected] of Object.entries(row) as [Host, string][]) {
      test(`takes up ${state} with ${host} on the host: ${expected}`, () => {
        assert.equal(recover(state, host), expected);
      });
    }
  }
});
