// Expectations of lambda-core, for which JavaScript has no client, and of requests that no client would send: by HTTP.

import { after, describe, it } from "node:test";
import { CORE_CASES, HTTP_CASES } from "./expectations/cases.ts";
import { createHttpClient } from "./support/http-client.ts";
import { runCase } from "./support/run-case.ts";

describe("with plain HTTP", () => {
  const client = createHttpClient();
  after(() => client[Symbol.asyncDispose]());

  for (const each of [...CORE_CASES, ...HTTP_CASES]) it(each.name, () => runCase(client, each));
});
