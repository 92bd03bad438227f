import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLogLines } from "../../../src/builder/log-lines.ts";

const collect = () => {
  const lines: string[] = [];
  return { lines, log: createLogLines((line) => lines.push(line)) };
};

describe("createLogLines", () => {
  it("joins pieces into lines and keeps the last one until its end", () => {
    const { lines, log } = collect();
    log.write("STEP 1");
    log.write("/2: FROM x\nSTEP 2");
    assert.deepEqual(lines, ["STEP 1/2: FROM x"]);
    log.end();
    assert.deepEqual(lines, ["STEP 1/2: FROM x", "STEP 2"]);
  });

  it("takes carriage returns as line ends and drops empty lines", () => {
    const { lines, log } = collect();
    log.write("5%\r10%\r\n\n  \ndone\n");
    assert.deepEqual(lines, ["5%", "10%", "done"]);
  });

  it("cuts a line without end instead of keeping it", () => {
    const { lines, log } = collect();
    for (let index = 0; index < 100; index += 1) log.write("x".repeat(1000));
    log.end();
    assert.equal(lines.join("").length, 100_000);
    assert.ok(lines.every((line) => line.length <= 8192));
  });

  it("remembers the last lines only", () => {
    const { log } = collect();
    for (let index = 0; index < 1000; index += 1) log.write(`line ${index}\n`);
    assert.equal(log.tail().length, 40);
    assert.equal(log.tail()[0], "line 960");
    assert.equal(log.tail().at(-1), "line 999");
  });
});
