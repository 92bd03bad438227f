import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findExecutable } from "../../../src/setup/agent.ts";
import { fingerprintOf } from "../../../src/setup/fingerprint.ts";

const artifact = (executable: string | null) =>
  JSON.stringify({ reason: "compiler-artifact", target: { name: "x" }, executable });

describe("findExecutable", () => {
  it("finds the program among libraries and notices", () => {
    const messages = [
      artifact(null),
      '{"reason":"build-script-executed"}',
      "warning: something",
      artifact("/target/release/torpor-agent"),
      '{"reason":"build-finished","success":true}',
    ].join("\n");
    assert.equal(findExecutable(messages), "/target/release/torpor-agent");
  });

  it("refuses none and several", () => {
    assert.throws(() => findExecutable(artifact(null)), /made 0 programs instead of one/);
    const two = `${artifact("/a")}\n${artifact("/b")}\n`;
    assert.throws(() => findExecutable(two), { code: "SETUP_FAILED" });
  });
});

describe("fingerprintOf", () => {
  it("depends on where one part ends and the next begins", () => {
    assert.notEqual(fingerprintOf(["ab", "c"]), fingerprintOf(["a", "bc"]));
    assert.notEqual(fingerprintOf(["a"]), fingerprintOf(["a", ""]));
  });

  it("is the same for text and its bytes", () => {
    assert.equal(fingerprintOf(["kernel"]), fingerprintOf([Buffer.from("kernel")]));
    assert.match(fingerprintOf(["kernel"]), /^[0-9a-f]{16}$/);
  });
});
