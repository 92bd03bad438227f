// Every expectation with the JavaScript SDK.

import { after, describe, it } from "node:test";
import { CASES } from "./expectations/cases.ts";
import { runCase } from "./support/run-case.ts";
import { createSdkClient } from "./support/sdk-client.ts";

describe("with the JavaScript SDK", () => {
  const client = createSdkClient();
  after(() => client[Symbol.asyncDispose]());

  for (const each of CASES) it(each.name, () => runCase(client, each));
});
