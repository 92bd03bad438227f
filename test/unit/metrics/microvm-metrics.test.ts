import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createInstruments } from "../../../src/metrics/metrics.ts";
import { createMicrovmMetrics } from "../../../src/metrics/microvm-metrics.ts";
import type { MicrovmRecord } from "../../../src/microvms/records.ts";
import { someMicrovm } from "../../fixtures/domain-records.ts";

function setUp() {
  const instruments = createInstruments("1.2.3");
  let now = 1_000_000;
  const metrics = createMicrovmMetrics(instruments, () => now);
  const record = someMicrovm({ startedAt: now });
  return {
    metrics,
    record,
    write: (changes: Partial<MicrovmRecord>) => metrics.written({ ...record, ...changes }),
    pass: (ms: number) => (now += ms),
    /** Value of the line that begins so. */
    async value(line: string): Promise<number> {
      const text = await instruments.registry.metrics();
      const found = text.split("\n").find((one) => one.startsWith(`${line} `));
      return Number(found?.slice(line.length + 1) ?? 0);
    },
  };
}

const state = (name: string) => `torpor_microvms{state="${name}"}`;

describe("metrics of microVMs", () => {
  it("count a microVM in the state that it has, and in none after its end", async () => {
    const { write, value } = setUp();
    write({ state: "PENDING" });
    write({ state: "RUNNING" });
    write({ state: "RUNNING", desired: "TERMINATED" });
    assert.deepEqual([await value(state("PENDING")), await value(state("RUNNING"))], [0, 1]);
    write({ state: "TERMINATING" });
    write({ state: "TERMINATED" });
    write({ state: "TERMINATED" });
    for (const name of ["RUNNING", "TERMINATING", "TERMINATED"])
      assert.equal(await value(state(name)), 0, name);
    const moves = 'torpor_microvm_transitions_total{from="PENDING",to="RUNNING"}';
    assert.equal(await value(moves), 1);
  });

  it("time the launch from the call, the suspend from its beginning, the resume from the wish", async () => {
    const { write, pass, value } = setUp();
    write({ state: "PENDING" });
    pass(300);
    write({ state: "RUNNING" });
    pass(60_000);
    write({ state: "SUSPENDING", desired: "SUSPENDED" });
    pass(80);
    write({ state: "SUSPENDED", desired: "SUSPENDED" });
    pass(600_000);
    write({ state: "SUSPENDED", desired: "RUNNING" });
    pass(100);
    write({ state: "SUSPENDED", desired: "RUNNING", vmmId: "vmm-2" });
    pass(250);
    write({ state: "RUNNING", desired: "RUNNING" });
    assert.equal(await value("torpor_microvm_launch_seconds_sum"), 0.3);
    assert.equal(await value("torpor_microvm_suspend_seconds_sum"), 0.08);
    assert.equal(await value("torpor_microvm_resume_seconds_sum"), 0.35);
    assert.equal(await value("torpor_microvm_resume_seconds_count"), 1);
  });

  it("count what an earlier service left, and time nothing that it began", async () => {
    const { metrics, record, write, value } = setUp();
    metrics.found({ ...record, state: "SUSPENDED", desired: "RUNNING" });
    metrics.found({ ...record, state: "SUSPENDED", desired: "RUNNING" });
    assert.equal(await value(state("SUSPENDED")), 1);
    write({ state: "RUNNING" });
    assert.equal(await value("torpor_microvm_resume_seconds_count"), 0);
    assert.equal(await value(state("RUNNING")), 1);
  });
});
