import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { CASES, CORE_CASES, HTTP_CASES } from "../../conformance/expectations/cases.ts";
import { ROUTES } from "../../../src/api/routes/routes.ts";

const page = readFileSync(new URL("../../../docs/compatibility.md", import.meta.url), "utf8");
const TESTS = new URL("../../", import.meta.url);

/** Texts of the test files, and of the expectations of test/conformance, by name: several may have one. */
const testFiles = Map.groupBy(
  readdirSync(TESTS, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(test|cases)\.ts$/.test(name))
    .map((name) => ({
      file: path.basename(name),
      text: readFileSync(new URL(name, TESTS), "utf8"),
    })),
  ({ file }) => file,
);

/** Whether the file has this test; an expectation by its whole name. */
function hasTest(file: string, name: string): boolean {
  const wanted = file.endsWith(".cases.ts") ? `name: ${JSON.stringify(name)},` : name;
  const texts = testFiles.get(file) ?? [];
  return texts.some(({ text }) => text.replaceAll(/name:\s+/g, "name: ").includes(wanted));
}

const rows = page
  .split("\n")
  .filter((line) => line.startsWith("| ") && !/^\| (-|Operation|Behaviour|Question)/.test(line))
  .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "").trim()));

describe("docs/compatibility.md", () => {
  it("has a row for every operation", () => {
    for (const { operation } of ROUTES)
      assert.ok(
        rows.some(([cell]) => cell === `\`${operation}\``),
        operation,
      );
  });

  it("has a row for every expectation of the conformance tests", () => {
    const named = new Set(rows.map((row) => row.at(-1)?.replace(/^`[^`]+`: /, "")));
    const left = [...CASES, ...CORE_CASES, ...HTTP_CASES].filter(({ name }) => !named.has(name));
    assert.deepEqual(
      left.map(({ name }) => name),
      [],
    );
  });

  it("names a test that exists in every row", () => {
    assert.ok(rows.length > 30);
    for (const row of rows) {
      const [, file = "", name = ""] =
        /^`([\w-]+\.(?:test|cases)\.ts)`: (.+)$/.exec(row.at(-1) ?? "") ?? [];
      assert.ok(hasTest(file, name), `${row[0]}: ${row.at(-1)}`);
    }
  });
});
