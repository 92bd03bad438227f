import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCargoOutcome } from "../../../scripts/runner/agent-tests.ts";
import { formatFailures, formatTotal, sumOutcomes } from "../../../scripts/runner/outcome.ts";

const NOTHING = { passed: 0, failed: 0, skipped: 0, failures: [] };

describe("formatTotal", () => {
  it("sums sections into one line", () => {
    const total = sumOutcomes([
      { ...NOTHING, passed: 3 },
      { ...NOTHING, passed: 4, failed: 1 },
    ]);
    assert.equal(formatTotal(total), "7 passed, 1 failed");
  });

  it("names the skipped when there are any", () => {
    assert.equal(formatTotal({ ...NOTHING, skipped: 2 }), "0 passed, 0 failed, 2 skipped");
  });
});

describe("readCargoOutcome", () => {
  const summary = (passed: number, failed: number, ignored: number) =>
    `test result: ${failed === 0 ? "ok" : "FAILED"}. ${passed} passed; ${failed} failed; ${ignored} ignored; 0 measured; 0 filtered out\n`;

  it("adds up the summaries of all test programs", () => {
    const outcome = readCargoOutcome(summary(56, 0, 1) + summary(2, 0, 0), true);
    assert.deepEqual(outcome, { passed: 58, failed: 0, skipped: 1, failures: [] });
  });

  it("counts failed tests and keeps the output", () => {
    const output = summary(5, 2, 0);
    const { failed, failures } = readCargoOutcome(output, false);
    assert.equal(failed, 2);
    assert.equal(failures[0]?.detail, output);
  });

  it("counts an agent that does not compile as one failure", () => {
    assert.equal(readCargoOutcome("error[E0308]: mismatched types", false).failed, 1);
  });
});

describe("formatFailures", () => {
  it("numbers the failures and indents what they say", () => {
    const text = formatFailures([{ name: "a.test.ts: works", detail: "expected 1\n\ngot 2\n" }]);
    assert.equal(text, "1) a.test.ts: works\n    expected 1\n\n    got 2\n");
  });
});
