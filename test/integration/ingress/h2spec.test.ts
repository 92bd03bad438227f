// h2spec, the conformance test of HTTP/2, against the ingress and against Node's own HTTP/2 server: what the ingress adds
// breaks nothing. h2spec sends no token, and a refusal is as good an answer as any to look at frames by.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { XMLParser } from "fast-xml-parser";
import { z } from "zod";
import { openAuthority } from "../../../src/tls/authority.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { goTool } from "../../support/go-tools.ts";
import { REGION, startHarness } from "./harness.ts";

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

interface Report {
  readonly cases: number;
  readonly failed: readonly string[];
}

describe("h2spec", { timeout: 3 * RUN_TIMEOUT_MS }, () => {
  let directory: string;
  let program: string;
  let bare: Report;

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "torpor-h2spec-"));
    program = await goTool("h2spec");
    await using server = await startBareServer();
    bare = await runH2spec("bare", server.port);
  });

  after(() => rm(directory, { recursive: true }));

  async function startBareServer() {
    const authority = await openAuthority({ now: Date.now, log: silentLog() }, directory);
    const { key, cert } = authority.issue(REGION);
    const server = createSecureServer({ key, cert }, (_request, response) => response.end("hello"));
    server.on("sessionError", () => undefined);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    return {
      port,
      async [Symbol.asyncDispose]() {
        const closed = once(server, "close");
        server.close();
        await closed;
      },
    };
  }

  async function runH2spec(name: string, port: number): Promise<Report> {
    const file = path.join(directory, `${name}.xml`);
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
    const failed = cases
      .filter(({ failure, error }) => failure !== undefined || error !== undefined)
      .map((each) => `${each["@_package"]}: ${each["@_classname"]}`);
    return { cases: cases.length, failed };
  }

  it("runs all of its cases and finds Node's server mostly right", () => {
    assert.equal(bare.cases, CASES);
    assert.ok(bare.failed.length < CASES / 10, bare.failed.join("\n"));
  });

  it("finds nothing wrong with the ingress that is right with Node's server", async () => {
    await using harness = await startHarness();
    const { port } = harness.ingress.address;
    const added = async () => {
      const { cases, failed } = await runH2spec("ingress", port);
      assert.equal(cases, CASES);
      return failed.filter((name) => !bare.failed.includes(name));
    };
    const first = await added();
    // Its cases wait two seconds for an answer: a machine that is busy for so long fails them once, a fault again.
    const again = first.length === 0 ? [] : await added();
    assert.deepEqual(
      first.filter((name) => again.includes(name)),
      [],
    );
  });
});
