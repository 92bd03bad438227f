import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { parse as parseToml } from "smol-toml";
import { loadConfig } from "../../src/config.ts";

describe("docs/configuration.md", () => {
  const page = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
  const [, example = ""] = /```toml\n([^]*?)```/.exec(page) ?? [];
  // A clone has the prototypes that TOML tables lack.
  const documented = structuredClone(parseToml(example));

  it("shows every setting with its default", () => {
    const { listen, ingressListen, ...rest } = loadConfig(undefined, {});
    const expected = {
      ...rest,
      listen: `${listen.host}:${listen.port}`,
      ingressListen: `${ingressListen.host}:${ingressListen.port}`,
    };
    assert.deepEqual(documented, expected);
  });
});

describe("loadConfig", () => {
  it("keeps the quotas that are not given at their defaults", () => {
    const { quotas } = loadConfig(undefined, { quotas: { rates: { RunMicrovm: 1 } } });
    assert.equal(quotas.enforceRates, false);
    assert.equal(quotas.memoryMiB, 409_600);
    assert.deepEqual([quotas.rates.RunMicrovm, quotas.rates.GetMicrovm], [1, 100]);
  });

  it("names quotas that do not exist or cannot be used", () => {
    const bad = { memoryMiB: -1, rates: { RunMicrovm: 0, Other: 1 } };
    assert.throws(() => loadConfig(undefined, { quotas: bad }), {
      code: "VALIDATION_FAILED",
      message: /quotas\.memoryMiB: .*quotas\.rates\.RunMicrovm: .*Other"/,
    });
  });
});
