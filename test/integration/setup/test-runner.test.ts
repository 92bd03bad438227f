import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import { z } from "zod";
import { temporaryDirectory } from "./temporary.ts";

const RUNNER = path.resolve(import.meta.dirname, "../../../scripts/runner/node-tests.ts");

const outcomeSchema = z.object({
  passed: z.number(),
  failed: z.number(),
  skipped: z.number(),
  failures: z.array(z.object({ name: z.string(), detail: z.string() })),
});

/** Runs the runner in a process of its own: inside a test, Node's refuses to run others. */
const PROGRAM = `
  const { runFolder } = await import(process.argv[2]);
  const plan = { name: "unit", concurrency: 2, fileTimeoutMs: Number(process.argv[4]), tellsTests: false };
  const options = { filters: [], write: () => undefined };
  const outcome = await runFolder(process.argv[3], plan, options, new AbortController().signal);
  console.log(JSON.stringify(outcome));
`;

async function runFiles(files: Readonly<Record<string, string>>, fileTimeoutMs = 60_000) {
  await using directory = await temporaryDirectory();
  await writeFile(path.join(directory.path, "package.json"), '{"type":"module"}');
  await mkdir(path.join(directory.path, "test/unit"), { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const text = `import { test } from "node:test";\n${content}\n`;
    await writeFile(path.join(directory.path, `test/unit/${name}.test.ts`), text);
  }
  // In a file: Node hands its own `-e` on to the processes of the test files.
  const program = path.join(directory.path, "program.mjs");
  await writeFile(program, PROGRAM);
  const flag = "--disable-warning=ExperimentalWarning";
  const result = spawnSync(
    process.execPath,
    [flag, program, RUNNER, directory.path, String(fileTimeoutMs)],
    { env: { PATH: "/usr/bin:/bin" }, encoding: "utf8" },
  );
  assert.equal(result.stderr, "");
  return outcomeSchema.parse(JSON.parse(result.stdout));
}

describe("runFolder", () => {
  it("counts tests, not suites or files", async () => {
    const { failures, ...counts } = await runFiles({
      a: 'test("a", () => {}); test("group", async (t) => { await t.test("b", () => {}); });',
      b: 'test.skip("c", () => {}); test.todo("d"); test("e", () => {});',
    });
    assert.deepEqual(counts, { passed: 4, failed: 0, skipped: 2 });
    assert.deepEqual(failures, []);
  });

  it("keeps the reason and the output of a failed test", async () => {
    const { passed, failed, failures } = await runFiles({
      a: 'test("good", () => {}); test("bad", () => { console.log("a hint"); throw new Error("broken"); });',
    });
    assert.deepEqual([passed, failed, failures.length], [1, 1, 1]);
    assert.equal(failures[0]?.name, "test/unit/a.test.ts: bad");
    assert.match(failures[0].detail, /Error: broken[^]*a hint/);
  });

  for (const [what, content] of [
    ["does not parse", "const x: = 1;"],
    ["ends itself", 'test("a", () => process.exit(0));'],
    [
      "throws beside its tests",
      'test("a", () => {}); setTimeout(() => { throw new Error(); }, 50);',
    ],
    ["has no test", ""],
  ] as const) {
    it(`fails a file that ${what}`, async () => {
      const { failed, failures } = await runFiles({ a: content });
      assert.ok(failed >= 1);
      assert.equal(failures[0]?.name, "test/unit/a.test.ts");
    });
  }

  it("ends a file that does not end, and goes on with the others", async () => {
    const { passed, failed, failures } = await runFiles(
      {
        a: 'test("hangs", () => new Promise(() => setInterval(() => {}, 1000)));',
        b: 'test("b", () => {});',
      },
      2_000,
    );
    assert.deepEqual([passed, failed], [1, 1]);
    assert.match(failures[0]?.detail ?? "", /did not end within 2\.0 s/);
  });
});
