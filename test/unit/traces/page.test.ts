import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";

const REPOSITORY = path.join(import.meta.dirname, "../../..");
/** Whose names are made of other names, of operations, methods, steps and hooks. */
const COMPOSED = /^(RunMicrovm|GET|(step|hook) (run|suspend|resume|terminate))$/;

const source = globSync("src/**/*.ts", { cwd: REPOSITORY })
  .map((file) => readFileSync(path.join(REPOSITORY, file), "utf8"))
  .join("\n");
const page = readFileSync(path.join(REPOSITORY, "docs/observability.md"), "utf8");

function unique(matches: Iterable<RegExpMatchArray>): string[] {
  return [...new Set([...matches].map(([, name = ""]) => name))].sort();
}

describe("docs/observability.md", () => {
  it("names every span, and no other", () => {
    const used = source.matchAll(/\b(?:trace\(|traced\(deps,|step\(steps,)\s*"([^"]+)"/g);
    const [, table = ""] = /^\| span [^\n]*\n\|[ -|]*\n([^]*?)\n\n/m.exec(page) ?? [];
    const cells = table.split("\n").map((row) => row.split("|")[1] ?? "");
    const documented = unique(cells.join("").matchAll(/`([^`]+)`/g));
    assert.deepEqual(
      documented.filter((name) => !COMPOSED.test(name)),
      unique(used),
    );
  });

  it("names every attribute of spans that is torpor's own, and no other", () => {
    const used = source.matchAll(/"(torpor\.[a-z_.]+)"\??:/g);
    assert.deepEqual(unique(page.matchAll(/`(torpor\.[a-z_.]+)`/g)), unique(used));
  });
});
