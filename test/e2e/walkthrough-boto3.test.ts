// The walkthrough with boto3 from the Python package index, in a virtual environment of its own.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { REPOSITORY } from "../../scripts/walkthrough/service.ts";
import { startTestService, type TestService } from "./support/test-service.ts";

const run = promisify(execFile);
/** Kept between runs: what is in it is pinned by name and minimum version only, as a user would install it. */
const VENV = path.join(REPOSITORY, ".venv");
const PACKAGES = ["boto3>=1.43.35", "requests"];

describe("the walkthrough with boto3", { timeout: 600_000 }, () => {
  let service: TestService;

  before(async () => {
    if (!existsSync(path.join(VENV, "bin/pip"))) await run("python3", ["-m", "venv", VENV]);
    await run(path.join(VENV, "bin/pip"), ["install", "--quiet", ...PACKAGES]);
    service = await startTestService();
  });

  after(async () => {
    await service[Symbol.asyncDispose]();
  });

  test("build, run, call, suspend, wake, terminate", async () => {
    const script = path.join(import.meta.dirname, "walkthrough_boto3.py");
    const app = path.join(import.meta.dirname, "apps/counter");
    const { stdout } = await run(path.join(VENV, "bin/python"), [script, app], {
      env: { PATH: process.env["PATH"] ?? "", ...service.service.environment },
    });
    assert.equal(stdout.trim(), "walked through");
  });
});
