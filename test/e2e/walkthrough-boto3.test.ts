// The walkthrough with boto3 from the Python package index, in a virtual environment of its own.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { pythonWithClients } from "../support/python.ts";
import { startTestService, type TestService } from "./support/test-service.ts";

const run = promisify(execFile);

describe("the walkthrough with boto3", { timeout: 600_000 }, () => {
  let python: string;
  let service: TestService;

  before(async () => {
    python = await pythonWithClients();
    service = await startTestService();
  });

  after(async () => {
    await service[Symbol.asyncDispose]();
  });

  test("build, run, call, suspend, wake, terminate", async () => {
    const script = path.join(import.meta.dirname, "walkthrough_boto3.py");
    const app = path.join(import.meta.dirname, "apps/counter");
    const { stdout } = await run(python, [script, app], {
      env: { PATH: process.env["PATH"] ?? "", ...service.service.environment },
    });
    assert.equal(stdout.trim(), "walked through");
  });
});
