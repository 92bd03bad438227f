import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createProgress, formatSeconds } from "../../../src/setup/progress.ts";

function record() {
  const lines: string[] = [];
  let now = 0;
  const deps = {
    write: (line: string) => void lines.push(line),
    now: () => now,
  };
  return { lines, deps, advance: (milliseconds: number) => (now += milliseconds) };
}

describe("createProgress", () => {
  it("numbers the steps and says how each ended and how long it took", async () => {
    const { lines, deps, advance } = record();
    const progress = createProgress(deps, 2);
    await progress.step("kernel", async (step) => {
      step.doing("downloading");
      advance(12_400);
      return "made";
    });
    await progress.step("agent", async () => "up to date");
    assert.deepEqual(lines, [
      "[1/2] kernel: downloading",
      "[1/2] kernel: made (12 s)",
      "[2/2] agent: up to date (0.0 s)",
    ]);
  });

  it("reminds of a long step with the last line of a program's output", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const { lines, deps, advance } = record();
    await createProgress(deps, 1).step("base", async (step) => {
      step.doing("installing");
      advance(10_000);
      t.mock.timers.tick(10_000);
      step.output("Unpacking a\nUnpacking b\r\n\n");
      advance(10_000);
      t.mock.timers.tick(10_000);
      return "made";
    });
    assert.deepEqual(lines.slice(1, 3), [
      "[1/1] base: installing (10 s so far)",
      "[1/1] base: Unpacking b (20 s so far)",
    ]);
  });

  it("says that a step failed and hands the error on", async () => {
    const { lines, deps } = record();
    const failure = new Error("no mirror");
    const step = createProgress(deps, 1).step("kernel", async () => {
      throw failure;
    });
    await assert.rejects(step, failure);
    assert.deepEqual(lines, ["[1/1] kernel: failed (0.0 s)"]);
  });
});

describe("formatSeconds", () => {
  it("speaks as people do", () => {
    assert.equal(formatSeconds(440), "0.4 s");
    assert.equal(formatSeconds(59_400), "59 s");
    assert.equal(formatSeconds(125_000), "2 min 5 s");
  });
});
