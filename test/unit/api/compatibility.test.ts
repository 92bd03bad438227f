import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { ROUTES } from "../../../src/api/routes/routes.ts";

const page = readFileSync(new URL("../../../docs/compatibility.md", import.meta.url), "utf8");
const FOLDERS = [
  "../../unit/api/",
  "../../unit/images/",
  "../../unit/microvms/",
  "../../integration/api/",
  "../../integration/artifacts/",
  "../../integration/ingress/",
];

/** Text of each test file by name. */
const testFiles = new Map(
  FOLDERS.flatMap((folder) => {
    const url = new URL(folder, import.meta.url);
    return readdirSync(url)
      .filter((name) => name.endsWith(".test.ts"))
      .map((name): [string, string] => [name, readFileSync(new URL(name, url), "utf8")]);
  }),
);

const rows = page
  .split("\n")
  .filter((line) => line.startsWith("| ") && !/^\| (-|Operation|Behaviour|Question)/.test(line))
  .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "").trim()));

describe("docs/compatibility.md", () => {
  it("has a row for every implemented operation and names every other as not implemented", () => {
    const [, pending = ""] = /answer 501 [^:]*:([^#]*)/.exec(page) ?? [];
    for (const { operation, answer } of ROUTES) {
      const hasRow = rows.some(([cell]) => cell === `\`${operation}\``);
      assert.equal(hasRow, answer !== undefined, operation);
      assert.equal(pending.includes(`\`${operation}\``), answer === undefined, operation);
    }
  });

  it("names a test that exists in every row", () => {
    assert.ok(rows.length > 30);
    for (const row of rows) {
      const [, file = "", name = ""] = /^`([\w-]+\.test\.ts)`: (.+)$/.exec(row.at(-1) ?? "") ?? [];
      assert.ok(testFiles.get(file)?.includes(name), `${row[0]}: ${row.at(-1)}`);
    }
  });
});
