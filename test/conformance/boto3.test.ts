// Every expectation with boto3.

import { after, before, describe, it } from "node:test";
import { CASES, CORE_CASES } from "./expectations/cases.ts";
import { createBoto3Client } from "./support/boto3-client.ts";
import type { ConformanceClient } from "./support/client.ts";
import { runCase } from "./support/run-case.ts";

describe("with boto3", () => {
  let client: ConformanceClient;
  before(async () => {
    client = await createBoto3Client();
  });
  after(() => client[Symbol.asyncDispose]());

  for (const each of [...CASES, ...CORE_CASES]) it(each.name, () => runCase(client, each));
});
