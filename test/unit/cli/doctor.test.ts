import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatResults, isHealthy } from "../../../src/cli/commands/doctor.ts";

const met = { name: "root", isRequired: true, isMet: true, seen: "running as root" };
const missing = {
  name: "packages",
  isRequired: true,
  isMet: false,
  seen: "missing: buildah\nsecond line",
  mend: "apt-get install buildah",
};
const optional = {
  name: "accelerator",
  isRequired: false,
  isMet: false,
  seen: "TCG",
  mend: "use KVM",
};

describe("isHealthy", () => {
  it("holds while only something optional is not met", () => {
    assert.equal(isHealthy([met, optional]), true);
    assert.equal(isHealthy([met, missing]), false);
  });
});

describe("formatResults", () => {
  it("lines up the checks and puts below each what mends it", () => {
    assert.equal(
      formatResults([met, missing, optional]),
      [
        "ok    root         running as root",
        "FAIL  packages     missing: buildah",
        "                   → apt-get install buildah",
        "note  accelerator  TCG",
        "                   → use KVM",
        "",
      ].join("\n"),
    );
  });
});
