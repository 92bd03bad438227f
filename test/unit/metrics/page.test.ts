import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { parseMeminfo } from "../../../src/metrics/capacity.ts";
import { createInstruments } from "../../../src/metrics/metrics.ts";

describe("docs/observability.md", () => {
  it("names every metric with its labels, and no other", () => {
    const page = readFileSync(new URL("../../../docs/observability.md", import.meta.url), "utf8");
    const documented = [...page.matchAll(/^\| `(torpor_\w+)`\s+\| ([^|]*?)\s*\|/gm)]
      .map(([, name = "", labels = ""]) => [name, labels.replaceAll("`", "")])
      .sort();
    const { registry } = createInstruments("1.2.3");
    const metrics = registry.getMetricsAsArray();
    const own = metrics
      .filter(({ name }) => !/^torpor_(process|nodejs)_/.test(name))
      .map((metric) => [metric.name, labelsOf(metric).join(", ")])
      .sort();
    assert.deepEqual(documented, own);
  });
});

/** The label names that an instrument was made with: of its class, and public in its configuration alone. */
function labelsOf(metric: object): readonly string[] {
  const { labelNames } = metric as { readonly labelNames?: readonly string[] };
  return labelNames ?? [];
}

describe("parseMeminfo", () => {
  it("reads bytes, and is not a number where there are none", () => {
    const text = "MemTotal:       24576 kB\nMemFree:  1 kB\nMemAvailable:    2048 kB\n";
    assert.deepEqual(parseMeminfo(text), { total: 24_576 * 1024, available: 2048 * 1024 });
    assert.deepEqual(parseMeminfo(""), { total: Number.NaN, available: Number.NaN });
  });
});
