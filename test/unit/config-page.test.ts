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

  it("adds managed images to those of the service, and changes one of those", () => {
    const al2023 = { base: "debian-12", versions: { 1: "DEPRECATED", 2: "AVAILABLE" } } as const;
    const own = { base: "debian-12", versions: { 7: "AVAILABLE" } } as const;
    const { managedImages } = loadConfig(undefined, { managedImages: { own, "al2023-1": al2023 } });
    assert.deepEqual(Object.keys(managedImages).sort(), ["al2023-1", "debian-12", "own"]);
    assert.deepEqual(managedImages["al2023-1"], al2023);
    const bad = { "a b": own, own: { base: "", versions: { "1.0": "GONE" } } };
    assert.throws(() => loadConfig(undefined, { managedImages: bad as never }), {
      code: "VALIDATION_FAILED",
      message:
        /managedImages\.a b: .*managedImages\.own\.base: .*managedImages\.own\.versions\.1\.0: /,
    });
  });

  it("names quotas that do not exist or cannot be used", () => {
    const bad = { memoryMiB: -1, rates: { RunMicrovm: 0, Other: 1 } };
    assert.throws(() => loadConfig(undefined, { quotas: bad }), {
      code: "VALIDATION_FAILED",
      message: /quotas\.memoryMiB: .*quotas\.rates\.RunMicrovm: .*Other"/,
    });
  });
});
