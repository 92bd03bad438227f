// A client that would have the ingress forget to tell the application who it is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchOnce, startHarness } from "./harness.ts";

test("a client cannot take its address off by naming the field in Connection", async () => {
  await using harness = await startHarness({
    forwardedFrom: ["192.0.2.0/24"],
    app: (request, response) => response.end(JSON.stringify(request.headers)),
  });
  const hidden = { connection: "close, X-Forwarded-For, X-Forwarded-Proto" };
  const headers = { ...(await harness.credentials()), ...hidden };
  const seen = JSON.parse((await fetchOnce(harness, { headers })).body) as Record<string, string>;
  assert.equal(seen["x-forwarded-for"], "127.0.0.1");
  assert.equal(seen["x-forwarded-proto"], "https");
});
