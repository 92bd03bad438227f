// h2spec, the conformance test of HTTP/2, against the ingress. h2spec sends no token, and a refusal is as good an answer as
// any to look at frames by.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { XMLParser } from "fast-xml-parser";
import { z } from "zod";
import { goTool } from "../../support/go-tools.ts";
import { startHarness } from "./harness.ts";

const RUN_TIMEOUT_MS = 240_000;
/** The cases of h2spec 2.2: fewer were run if it changed under us or broke off. */
const CASES = 145;

const one = z.object({
  "@_package": z.string(),
  "@_classname": z.string(),
  failure: z.unknown().optional(),
  error: z.unknown().optional(),
});
const reportSchema = z.object({
  testsuites: z.object({
    testsuite: z.array(z.object({ testcase: z.array(one).optional() })),
  }),
});

describe("h2spec", { timeout: 3 * RUN_TIMEOUT_MS }, () => {
  let directory: string;
  let program: string;

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "torpor-h2spec-"));
    program = await goTool("h2spec");
  });

  after(() => rm(directory, { recursive: true }));

  /** Runs all cases; the names of those that failed. */
  async function runH2spec(port: number): Promise<string[]> {
    const file = path.join(directory, "report.xml");
    const args = ["--tls", "--insecure", "--port", String(port), "--junit-report", file];
    await new Promise<void>((resolve, reject) => {
      // It exits with 1 when a case has failed, which the report tells better.
      execFile(program, args, { timeout: RUN_TIMEOUT_MS }, (error) =>
        error === null || error.code === 1 ? resolve() : reject(error),
      );
    });
    const parser = new XMLParser({
      ...{ ignoreAttributes: false, isArray: (tag) => tag === "testsuite" || tag === "testcase" },
    });
    const { testsuites } = reportSchema.parse(parser.parse(await readFile(file, "utf8")));
    const cases = testsuites.testsuite.flatMap(({ testcase = [] }) => testcase);
    assert.equal(cases.length, CASES);
    return cases
      .filter(({ failure, error }) => failure !== undefined || error !== undefined)
      .map((each) => `${each["@_package"]}: ${each["@_classname"]}`);
  }

  it("finds nothing wrong", async () => {
    await using harness = await startHarness();
    const { port } = harness.ingress.address;
    const first = await runH2spec(port);
    // Its cases wait two seconds for an answer: a machine that is busy for so long fails them once, a fault again.
    const again = first.length === 0 ? [] : await runH2spec(port);
    assert.deepEqual(
      first.filter((name) => again.includes(name)),
      [],
    );
  });
});
